import type { ErrorRecord, Json } from '@lariat/kernel';

export const OperationState = Object.freeze({
  running: 'running',
  /** A step failed for good; what was done is being undone. */
  undoing: 'undoing',
  succeeded: 'succeeded',
  /** Ended with an error; everything that it had done is undone. */
  failed: 'failed',
  /** Neither forward nor back is possible; a person must look. */
  stuck: 'stuck',
} as const);
export type OperationState = (typeof OperationState)[keyof typeof OperationState];

export const isEnded = (state: OperationState): boolean =>
  state === 'succeeded' || state === 'failed' || state === 'stuck';

/** An operation as callers see it: it explains every wait (invariant 12). */
export interface OperationView {
  readonly id: string;
  /** e.g. `volume.create` */
  readonly kind: string;
  /** What it works on, e.g. `volume/vol-…`. */
  readonly subject: string;
  readonly state: OperationState;
  readonly step: string | null;
  readonly attempt: number;
  /** Whether `operation.cancel` would undo it now. */
  readonly cancellable: boolean;
  /** What the step waits for now: a node, a person's words. */
  readonly waitingFor: string | null;
  readonly node: string | null;
  /** Since when the step has run. */
  readonly since: string;
  readonly progress: {
    readonly done: number;
    readonly total: number;
    readonly unit: string;
    /** Units a second, lately; missing: not measured. */
    readonly perSecond?: number;
    /** Missing: nothing tells. */
    readonly timeLeftMs?: number;
  } | null;
  readonly lastError: ErrorRecord | null;
  readonly nextTryAt: string | null;
  readonly result: Json;
  readonly error: ErrorRecord | null;
  readonly traceId: string;
  readonly startedAt: string;
  readonly endedAt: string | null;
}
