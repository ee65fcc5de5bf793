import {
  type CommandMap,
  type KeepingRules,
  type KeptRecords,
  type RecordKind,
  comparePositions,
  lariatError,
  positionOf,
} from '@lariat/contracts';
import { type Clock, toLariatError, withDeadline } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { CommandClient } from './commands/command-client.js';

const KEEP_TIMEOUT_MS = 4_000;
/** When one witness has the copy, the others are waited for this long: one that is being lost must not hold the rest up. */
const GRACE_MS = 500;

/** What an outcome may wait for its copies; they come in any case. */
const TELL_TIMEOUT_MS = 1_000;

type Kept = CommandMap['record.keep']['output'];

/** A node that keeps another record than the one that it was sent. */
export interface Disagreement extends Kept {
  readonly node: string;
}

/** Copies of records on the nodes that have what they are of: what a recovery goes by when the store is lost. */
export class RecordCopies<Kind extends RecordKind> {
  private readonly underWay = new Map<string, Promise<Kept>>();

  constructor(
    private readonly rules: KeepingRules<Kind>,
    private readonly commands: Pick<CommandClient, 'send'>,
    private readonly clock: Pick<Clock, 'nowMs'>,
    private readonly log: Log,
  ) {}

  /** Sends the record to all nodes that keep it and waits for none; who misses it is sent it again by `keepUp`. */
  spread(record: KeptRecords[Kind]): void {
    for (const node of this.rules.keepersOf(record)) this.sendTo(node, record);
  }

  /** Sends the record to one node and does not wait. */
  sendTo(node: string, record: KeptRecords[Kind]): void {
    void this.send(node, record).catch((error: unknown) => {
      const { code } = toLariatError(error);
      this.log.info('copy of a record not kept yet', { [this.rules.kind]: record.id, node, code });
    });
  }

  /**
   * Resolves when at least one witness keeps the record, with the nodes that keep another one that is as new. Rejects with
   * LEG_UNREACHABLE when none does.
   */
  async keep(
    record: KeptRecords[Kind],
    newcomers: readonly string[] = [],
  ): Promise<readonly Disagreement[]> {
    const witnesses = new Set(this.rules.witnessesOf(record, newcomers));
    // One that is to be a member may have become one, in a store that was set back: it is heard, if not needed.
    const joining = new Set(this.rules.joiningOf(record));
    const disagreements: Disagreement[] = [];
    const sent: Promise<void>[] = [];
    const heard: Promise<void>[] = [];
    for (const node of this.rules.keepersOf(record)) {
      const answered = this.send(node, record).then((kept) => {
        if (!kept.isSame) disagreements.push({ node, ...kept });
      });
      if (witnesses.has(node)) sent.push(answered);
      else answered.catch(() => undefined);
      if (witnesses.has(node) || joining.has(node)) heard.push(answered);
    }
    if (sent.length === 0) return [];
    await Promise.any(sent).catch((error: unknown) => {
      throw this.notKept(record, error);
    });
    // Who is late is heard with the next inventory.
    await withDeadline('a copy', GRACE_MS, Promise.allSettled(heard)).catch(() => undefined);
    return disagreements.filter(({ held }) => comparePositions(held, positionOf(record)) >= 0);
  }

  private send(node: string, record: KeptRecords[Kind]): Promise<Kept> {
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
        // TypeScript does not see that kind and record go together here.
        input: { kind: this.rules.kind, record } as CommandMap['record.keep']['input'],
      })
      .finally(() => this.underWay.delete(key));
    this.underWay.set(key, sent);
    return sent;
  }

  private notKept(record: KeptRecords[Kind], cause: unknown): Error {
    const { kind, witness } = this.rules;
    const reasons = cause instanceof AggregateError ? cause.errors : [cause];
    const nodes = this.rules.witnessesOf(record).join(', ');
    return lariatError(
      'LEG_UNREACHABLE',
      `No node with ${witness} of ${kind} '${record.name}' (${nodes}) keeps its record: ${reasons.map((reason) => toLariatError(reason).message).join('; ')}`,
      { [kind]: record.id },
      cause,
    );
  }
}

/** Waits for copies no longer than an outcome may: one that is late is left to the next inventory of its node. */
export async function keptInTime(kept: Promise<unknown>): Promise<void> {
  await withDeadline('a copy', TELL_TIMEOUT_MS, kept).catch(() => undefined);
}
