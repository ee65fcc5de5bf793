import type { CommandMap, CommandName, ErrorCode, OperationView } from '@lariat/contracts';
import type { Backoff, ErrorRecord, Json } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';

export interface CommandOptions {
  /** Default: what is left of the step's time. */
  readonly timeoutMs?: number;
  /** Tells apart several commands of one name in a step, e.g. the replica's id. */
  readonly key: string;
}

/** How fast a step is lately, where it measures that. */
export type ProgressPace = Pick<NonNullable<OperationView['progress']>, 'perSecond' | 'timeLeftMs'>;

/** What a step has at hand. */
export interface StepContext<Input, Memory> {
  readonly operation: string;
  readonly input: Input;
  readonly memory: Readonly<Partial<Memory>>;
  readonly actor: string;
  /** 1 for the first run. Above 1 an earlier run may have had effects: look before you create. */
  readonly attempt: number;
  readonly client: LariatClient;
  readonly log: Log;
  /** Aborted, with OPERATION_CANCELLED as its reason, when the operation is to be undone by request; see `whileWanted`. */
  readonly cancellation: AbortSignal;
  /** Why it is undone, in an undo; else null. */
  readonly undoneFor: ErrorRecord | null;
  command<Name extends CommandName>(
    node: string,
    name: Name,
    input: CommandMap[Name]['input'],
    options: CommandOptions,
  ): Promise<CommandMap[Name]['output']>;
  /** For a step that waits for another operation: the node that keeps that one waiting, or null. */
  readonly waitsOn: (node: string | null) => void;
  /** Journals what a long step has found out, so that a resumed run need not do it again. */
  checkpoint(found: Partial<Memory>): Promise<void>;
  /** Shown by operation.get; written at most once a second. */
  progress(done: number, total: number, unit: string, pace?: ProgressPace): void;
}

export interface SagaStep<Input, Memory> {
  readonly name: string;
  /** What it waits for, in a person's words, from what is known when it begins. */
  readonly waitsFor: string | ((input: Input, memory: Readonly<Partial<Memory>>) => string);
  /** The effect, idempotent; what it returns is remembered. */
  run(context: StepContext<Input, Memory>): Promise<Partial<Memory> | void>;
  /** Takes the effect back, also a half one; idempotent. Absent: there is nothing to take back. */
  undo?(context: StepContext<Input, Memory>): Promise<void>;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
}

export interface RetryPolicy {
  /** Runs before the step is given up; Infinity for a step behind the point of no return. */
  readonly attempts: number;
  readonly backoff: Backoff;
  /** Errors that may pass by their kind, and of which the step itself has had enough. */
  readonly final?: readonly ErrorCode[];
}

/** A durable procedure: a typed list of steps. */
export interface SagaDefinition<Input, Memory> {
  /** e.g. `volume.create`; also the kind of the operation. */
  readonly kind: string;
  subjectOf(input: Input): string;
  readonly steps: readonly SagaStep<Input, Memory>[];
  /** What the operation answers when all is done. */
  result?(input: Input, memory: Readonly<Partial<Memory>>): Json;
}

/** Quick retries for things inside the cluster that are usually back at once. */
export const RETRY_BRIEFLY: RetryPolicy = {
  attempts: 5,
  backoff: { initialMs: 100, maxMs: 2_000, factor: 2 },
};

/** For a write whose effect must be known before anything is undone: only a refusal ends it. */
export const RETRY_UNTIL_KNOWN: RetryPolicy = {
  attempts: 10_000,
  backoff: { initialMs: 200, maxMs: 5_000, factor: 2 },
};

/** Behind the point of no return: goes on until it succeeds. */
export const RETRY_UNTIL_DONE: RetryPolicy = {
  attempts: Number.POSITIVE_INFINITY,
  backoff: { initialMs: 200, maxMs: 10_000, factor: 2 },
};

/** A definition whose types the runner need not know. */
export interface AnySaga {
  readonly kind: string;
  readonly steps: readonly { readonly name: string }[];
}
