import {
  AUDIT_SUBJECT,
  type AuditAnswered,
  type AuditAsked,
  type AuditEntry,
  type AuditFilter,
  type AuditRecord,
  STREAMS,
  auditEntries,
} from '@lariat/contracts';
import type { Log } from '@lariat/telemetry';
import {
  DeliverPolicy,
  type JetStreamClient,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { encodeJson } from './json.js';

/** A request does not wait for longer: what is not on the trail then is in the log. */
const WRITE_TIMEOUT_MS = 2_000;
/** Two a request: further back nobody looks for what happened just now, and `nats` reads the rest. */
const MOST_READ = 20_000;

/** Who asked for what, in a stream of its own. */
export class AuditTrail {
  private readonly js: JetStreamClient;

  constructor(
    connection: NatsConnection,
    private readonly log: Log,
  ) {
    this.js = jetstream(connection);
  }

  /** Awaited before the request is carried out: nothing is done of which the trail does not know. */
  asked(entry: AuditAsked): Promise<void> {
    return this.write({ phase: 'asked', ...entry });
  }

  /** Awaited before the answer is sent. */
  answered(entry: AuditAnswered): Promise<void> {
    return this.write({ phase: 'answered', ...entry });
  }

  private async write(record: AuditRecord): Promise<void> {
    try {
      await this.js.publish(AUDIT_SUBJECT, encodeJson(record), {
        timeout: WRITE_TIMEOUT_MS,
        msgID: `audit-${record.phase}-${record.id}`,
      });
    } catch (error) {
      // A cluster whose disk is full must still take the request that makes room.
      this.log.error('request not audited', { audit: record, error });
    }
  }
}

/** The newest requests that the filter lets through, oldest first. */
export async function readAudit(
  connection: NatsConnection,
  filter: AuditFilter,
  limit: number,
): Promise<readonly AuditEntry[]> {
  const { streams } = await jetstreamManager(connection);
  const { state } = await streams.info(STREAMS.audit.name);
  if (state.messages === 0) return [];
  const consumer = await jetstream(connection).consumers.get(STREAMS.audit.name, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: Math.max(state.first_seq, state.last_seq - MOST_READ + 1, 1),
  });
  const records: AuditRecord[] = [];
  const messages = await consumer.consume({ max_messages: 1_000 });
  for await (const message of messages) {
    // Only `AuditTrail` writes there.
    records.push(message.json<AuditRecord>());
    if (message.info.pending === 0 || message.seq >= state.last_seq) break;
  }
  return auditEntries(records, filter, limit);
}
