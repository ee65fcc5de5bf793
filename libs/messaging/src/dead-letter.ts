import { type DeadLetterView, STREAMS, deadLetterSubject } from '@lariat/contracts';
import type { ErrorRecord } from '@lariat/kernel';
import {
  type JetStreamClient,
  type JsMsg,
  type StoredMsg,
  jetstreamManager,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { encodeJson } from './json.js';

/** What is stored of a message that could not be handled. */
interface DeadLetter {
  readonly stream: string;
  readonly subject: string;
  readonly streamSequence: number;
  readonly deliveryCount: number;
  readonly reason: ErrorRecord;
  readonly at: string;
  /** Base64: it may be anything. */
  readonly body: string;
}

/** A message may be as large as an answer may be: of each one its beginning is shown. */
const SHOWN_BYTES = 512;

/**
 * Keeps a message that can't be handled, with the reason, and ends its delivery. nats-server 2.9 ignores the
 * reason of a +TERM (seen 2026-11), so it stands in the record.
 */
export async function deadLetter(
  js: JetStreamClient,
  stream: string,
  message: JsMsg,
  reason: ErrorRecord,
): Promise<void> {
  const letter: DeadLetter = {
    stream,
    subject: message.subject,
    streamSequence: message.seq,
    deliveryCount: message.info.deliveryCount,
    reason,
    at: new Date().toISOString(),
    body: Buffer.from(message.data).toString('base64'),
  };
  await js.publish(deadLetterSubject(stream), encodeJson(letter));
  message.term();
}

/** The newest dead letters, at most `limit`, oldest first, and how many are kept. */
export async function readDeadLetters(
  connection: NatsConnection,
  limit: number,
): Promise<{ readonly deadLetters: readonly DeadLetterView[]; readonly kept: number }> {
  const { streams } = await jetstreamManager(connection);
  const { state } = await streams.info(STREAMS.deadLetters.name);
  const first = Math.max(state.first_seq, state.last_seq - limit + 1, 1);
  const length = state.messages === 0 ? 0 : state.last_seq - first + 1;
  const read = await Promise.all(
    Array.from({ length }, async (_, index) => {
      const sequence = first + index;
      // One that was dropped since, for space, has none.
      const message = await streams.getMessage(STREAMS.deadLetters.name, { seq: sequence });
      return message === null ? undefined : toView(sequence, message);
    }),
  );
  return { deadLetters: read.flatMap((view) => view ?? []), kept: state.messages };
}

function toView(sequence: number, message: StoredMsg): DeadLetterView {
  // Only `deadLetter` writes there.
  const { body, ...letter } = message.json<DeadLetter>();
  const bytes = Buffer.from(body, 'base64');
  return {
    sequence,
    ...letter,
    bodyBytes: bytes.length,
    bodyBegin: bytes.toString('utf8', 0, SHOWN_BYTES),
  };
}
