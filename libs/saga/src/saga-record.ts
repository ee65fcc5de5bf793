import type { OperationState, OperationView } from '@lariat/contracts';
import type { ErrorRecord, Json } from '@lariat/kernel';

export type Memory = Readonly<Record<string, Json>>;

/** A saga's journal: one KV entry, each revision an intent or a result (invariant 7). */
export interface SagaRecord {
  readonly id: string;
  readonly kind: string;
  /** What it works on, e.g. `volume/vol-…`; one operation at a time works on a subject. */
  readonly subject: string;
  readonly input: Json;
  /** What the steps have found out so far. */
  readonly memory: Memory;
  readonly state: OperationState;
  /** The step that runs, or the one that is being undone. */
  readonly stepIndex: number;
  readonly stepName: string | null;
  /** Counts every run of the step, also those that a dead process began. */
  readonly attempt: number;
  /** Runs of the step that ended in an error; what a dead process began is not its step's fault. */
  readonly failures: number;
  /** Index of the first step that is not undone by request; missing in records of before there was one. */
  readonly pointOfNoReturn?: number;
  readonly stepSinceMs: number;
  readonly nextTryAtMs: number | null;
  readonly waitingFor: string | null;
  /** The node that a run of the step has waited for, for more than a moment, or at which it failed. */
  readonly waitingOn?: string | null;
  readonly progress: OperationView['progress'];
  readonly lastError: ErrorRecord | null;
  readonly error: ErrorRecord | null;
  readonly result: Json;
  /** The instance that runs it, and how often it has changed hands: commands with a lower number are refused. */
  readonly holder: string;
  readonly fence: number;
  /** Ids reserved for the root span, and what it is a child of. */
  readonly traceId: string;
  readonly spanId: string;
  readonly traceparent: string | null;
  readonly actor: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
}

export const isCancellable = ({ state, stepIndex, pointOfNoReturn = 0 }: SagaRecord): boolean =>
  state === 'running' && stepIndex < pointOfNoReturn;

const iso = (ms: number): string => new Date(ms).toISOString();

/** The record as callers see it (invariant 12). */
export function toOperationView(record: SagaRecord): OperationView {
  return {
    id: record.id,
    kind: record.kind,
    subject: record.subject,
    state: record.state,
    step: record.stepName,
    attempt: record.attempt,
    cancellable: isCancellable(record),
    waitingFor: record.waitingFor,
    node: record.waitingOn ?? null,
    since: iso(record.stepSinceMs),
    progress: record.progress,
    lastError: record.lastError,
    nextTryAt: record.nextTryAtMs === null ? null : iso(record.nextTryAtMs),
    result: record.result,
    error: record.error,
    traceId: record.traceId,
    startedAt: iso(record.startedAtMs),
    endedAt: record.endedAtMs === null ? null : iso(record.endedAtMs),
  };
}
