import type { CommandEnvelope, CommandMap, CommandName } from '@lariat/contracts';
import { type Clock, type Json, LariatError } from '@lariat/kernel';
import type { CommandClient, LariatClient, Versioned } from '@lariat/messaging';
import type { Log, Tracing } from '@lariat/telemetry';
import type { SagaStep, StepContext } from './definition.js';
import type { SagaEvent } from './next-record.js';
import type { Memory, SagaRecord } from './saga-record.js';
import { traceWait } from './saga-spans.js';
import { FenceLost } from './saga-store.js';

/** The runner handles inputs and memories as JSON; each definition gives them their types. */
export type UntypedStep = SagaStep<Json, Memory>;

export interface StepRunParts {
  readonly commands: CommandClient;
  readonly client: LariatClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly tracing: Tracing;
  readonly cancellation: AbortSignal;
  /** Writes the revision that follows from the event. */
  readonly append: (
    latest: Versioned<SagaRecord>,
    event: SagaEvent,
  ) => Promise<Versioned<SagaRecord>>;
}

const PROGRESS_WRITE_MS = 1_000;
/** A node that answers sooner is not worth a write. */
const WAIT_TOLD_AFTER_MS = 1_000;
/** Later: until then it may show that it is a node that is waited for. */
const OTHER_WAIT_TOLD_AFTER_MS = 1_500;
/** What stands for the command where the step waits for another operation. */
const OTHER_OPERATION = 'operation';

/** One run of a step, forward or back: what the step has at hand, and the revisions that it writes on the way. */
export class StepRun {
  private progressAtMs = 0;
  private writing: Promise<void> = Promise.resolve();
  private isOver = false;
  /** Nodes that have been asked for longer than that and have not answered, by command. */
  private readonly slow = new Map<string, string>();
  /** Who refused, by the error that came of it. */
  private readonly refusals = new WeakMap<object, string>();
  private toldNode: string | null = null;
  private waitTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly parts: StepRunParts,
    private readonly step: UntypedStep,
    /** The last revision written: progress and checkpoints move it on. */
    private latest: Versioned<SagaRecord>,
  ) {}

  get record(): SagaRecord {
    return this.latest.value;
  }

  /** The node that an error of the step is about, when the error itself does not say. */
  nodeBehind(reason: unknown): string | undefined {
    if (typeof reason !== 'object' || reason === null) return undefined;
    const isLate = reason instanceof LariatError && reason.code === 'DEADLINE_EXCEEDED';
    return this.refusals.get(reason) ?? (isLate ? [...this.slow.values()].at(-1) : undefined);
  }

  /** The last revision, when all that the step has begun to write is written. What goes on unheard writes no more. */
  async settled(): Promise<Versioned<SagaRecord>> {
    this.isOver = true;
    clearTimeout(this.waitTimer);
    await this.writing;
    return this.latest;
  }

  context(): StepContext<Json, Memory> {
    const { value } = this.latest;
    const { clock, client, log, cancellation } = this.parts;
    const { name, timeoutMs } = this.step;
    const deadlineAtMs = clock.nowMs() + timeoutMs;
    // Not every wait is for a node's answer: a source that sends slowly, another operation, a service that is away.
    const sinceMs = clock.nowMs();
    const tellOtherWait = (): void => {
      const nowMs = clock.nowMs();
      if (this.slow.size === 0) traceWait(this.parts.tracing, this.record, { sinceMs, nowMs });
      // A node may have been slow first, and what it waits for now is something else.
      else this.waitTimer = setTimeout(tellOtherWait, OTHER_WAIT_TOLD_AFTER_MS);
    };
    this.waitTimer = setTimeout(tellOtherWait, OTHER_WAIT_TOLD_AFTER_MS);
    const direction = value.state === 'undoing' ? 'undo-' : '';
    return {
      operation: value.id,
      input: value.input,
      memory: value.memory,
      actor: value.actor,
      attempt: value.attempt,
      client,
      log,
      cancellation,
      undoneFor: value.state === 'undoing' ? value.error : null,
      command: (node, command, input, options) =>
        this.whileWaiting(node, {
          id: `${value.id}/${direction}${name}.${value.fence}.${value.attempt}/${command}/${options.key}`,
          command,
          operation: value.id,
          step: name,
          fence: value.fence,
          deadlineAtMs: Math.min(deadlineAtMs, clock.nowMs() + (options.timeoutMs ?? timeoutMs)),
          input,
        }),
      waitsOn: (node) => {
        if (this.slow.get(OTHER_OPERATION) === (node ?? undefined)) return;
        if (node === null) this.slow.delete(OTHER_OPERATION);
        else {
          this.slow.set(OTHER_OPERATION, node);
          traceWait(this.parts.tracing, this.record, { node, sinceMs, nowMs: clock.nowMs() });
        }
        this.tellWait();
      },
      checkpoint: (found) => this.append({ type: 'checkpointed', memory: known(found) }),
      progress: (done, total, unit, pace) => this.tellProgress({ done, total, unit, ...pace }),
    };
  }

  /** Has operation.get name the node that keeps the step waiting (invariant 12). */
  private async whileWaiting<Name extends CommandName>(
    node: string,
    envelope: CommandEnvelope<Name>,
  ): Promise<CommandMap[Name]['output']> {
    const sinceMs = this.parts.clock.nowMs();
    const timer = setTimeout(() => {
      this.slow.set(envelope.id, node);
      this.tellWait();
      const nowMs = this.parts.clock.nowMs();
      const { command } = envelope;
      traceWait(this.parts.tracing, this.record, { node, command, sinceMs, nowMs });
    }, WAIT_TOLD_AFTER_MS);
    try {
      return await this.parts.commands.send(node, envelope);
    } catch (reason) {
      if (typeof reason === 'object' && reason !== null) this.refusals.set(reason, node);
      throw reason;
    } finally {
      clearTimeout(timer);
      if (this.slow.delete(envelope.id)) this.tellWait();
    }
  }

  /** The one asked last: a step that has given a node up may go on to others. */
  private tellWait(): void {
    if (this.isOver) return;
    const node = [...this.slow.values()].at(-1) ?? null;
    if (node === this.toldNode) return;
    this.toldNode = node;
    this.append({ type: 'waits', node }).catch((error: unknown) =>
      this.parts.log.info('wait not written', { operation: this.record.id, error }),
    );
  }

  private tellProgress(progress: NonNullable<SagaRecord['progress']>): void {
    const nowMs = this.parts.clock.monotonicMs();
    if (nowMs - this.progressAtMs < PROGRESS_WRITE_MS) return;
    this.progressAtMs = nowMs;
    this.append({ type: 'progressed', progress }).catch((error: unknown) =>
      this.parts.log.info('progress not written', { operation: this.record.id, error }),
    );
  }

  /** Writes beside the running step, one after the other. */
  private append(event: SagaEvent): Promise<void> {
    if (this.isOver) return Promise.reject(new FenceLost(`a run of ${this.step.name} is over`));
    const write = this.writing.then(async () => {
      this.latest = await this.parts.append(this.latest, event);
    });
    // Whoever waits for its turn must not fail with its predecessor's error.
    this.writing = write.catch(() => undefined);
    return write;
  }
}

/** Without the members that are undefined, which JSON would drop as well. */
export function known(found: Readonly<Record<string, Json | undefined>>): Memory {
  const memory: Record<string, Json> = {};
  for (const [key, value] of Object.entries(found)) if (value !== undefined) memory[key] = value;
  return memory;
}
