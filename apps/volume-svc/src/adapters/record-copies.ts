import {
  type CommandMap,
  type VolumeRecord,
  comparePositions,
  lariatError,
  positionOf,
} from '@lariat/contracts';
import { type Clock, toLariatError, withDeadline } from '@lariat/kernel';
import type { CommandClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import { joiningOf, keepersOf, witnessesOf } from '../domain/record-copies.js';

const KEEP_TIMEOUT_MS = 4_000;
/** When one member has the copy, the others are waited for this long: one that is being lost must not hold the rest up. */
const GRACE_MS = 500;

type Kept = CommandMap['record.keep']['output'];

/** A node that keeps another record than the one that it was sent. */
export interface Disagreement extends Kept {
  readonly node: string;
}

/** Copies of volumes' records beside their replicas: what a recovery goes by when the store is lost. */
export class RecordCopies {
  private readonly underWay = new Map<string, Promise<Kept>>();

  constructor(
    private readonly commands: Pick<CommandClient, 'send'>,
    private readonly clock: Pick<Clock, 'nowMs'>,
    private readonly log: Log,
  ) {}

  /** Sends the record to all nodes that keep it and waits for none; who misses it is sent it again by `keepUp`. */
  spread(record: VolumeRecord): void {
    for (const node of keepersOf(record)) this.sendTo(node, record);
  }

  /** Sends the record to one node and does not wait. */
  sendTo(node: string, record: VolumeRecord): void {
    void this.send(node, record).catch((error: unknown) => {
      const { code } = toLariatError(error);
      this.log.info('copy of a record not kept yet', { volume: record.id, node, code });
    });
  }

  /**
   * Resolves when at least one member of the in-sync set keeps the record, with the nodes that keep another one that is
   * as new. Rejects with LEG_UNREACHABLE when no member does.
   */
  async keep(
    record: VolumeRecord,
    newcomers: readonly string[] = [],
  ): Promise<readonly Disagreement[]> {
    const witnesses = new Set(witnessesOf(record, newcomers));
    // One that is to be a member may have become one, in a store that was set back: it is heard, if not needed.
    const joining = new Set(joiningOf(record));
    const disagreements: Disagreement[] = [];
    const sent: Promise<void>[] = [];
    const heard: Promise<void>[] = [];
    for (const node of keepersOf(record)) {
      const answered = this.send(node, record).then((kept) => {
        if (!kept.isSame) disagreements.push({ node, ...kept });
      });
      if (witnesses.has(node)) sent.push(answered);
      else answered.catch(() => undefined);
      if (witnesses.has(node) || joining.has(node)) heard.push(answered);
    }
    if (sent.length === 0) return [];
    await Promise.any(sent).catch((error: unknown) => {
      throw notKept(record, error);
    });
    // Who is late is heard with the next inventory.
    await withDeadline('a copy', GRACE_MS, Promise.allSettled(heard)).catch(() => undefined);
    return disagreements.filter(({ held }) => comparePositions(held, positionOf(record)) >= 0);
  }

  private send(node: string, record: VolumeRecord): Promise<Kept> {
    const { generation, revision } = positionOf(record);
    const id = `record/${record.id}/${generation}.${revision}`;
    const key = `${node}/${id}`;
    const known = this.underWay.get(key);
    if (known !== undefined) return known;
    const sent = this.commands
      .send(node, {
        id,
        command: 'record.keep',
        operation: `record/${record.id}`,
        step: 'keep',
        fence: 1,
        deadlineAtMs: this.clock.nowMs() + KEEP_TIMEOUT_MS,
        input: { volume: record.id, record },
      })
      .finally(() => this.underWay.delete(key));
    this.underWay.set(key, sent);
    return sent;
  }
}

function notKept(record: VolumeRecord, cause: unknown): Error {
  const reasons = cause instanceof AggregateError ? cause.errors : [cause];
  const nodes = witnessesOf(record).join(', ');
  return lariatError(
    'LEG_UNREACHABLE',
    `No node with a healthy replica of volume '${record.name}' (${nodes}) keeps its record: ${reasons.map((reason) => toLariatError(reason).message).join('; ')}`,
    { volume: record.id },
    cause,
  );
}
