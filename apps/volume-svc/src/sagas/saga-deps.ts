import {
  type SnapshotRecord,
  type VolumeChange,
  type VolumeRecord,
  type VolumeView,
  toVolumeView,
} from '@lariat/contracts';
import type { Clock, Json } from '@lariat/kernel';
import { RETRY_BRIEFLY, RETRY_UNTIL_DONE, type SagaStep, type StepContext } from '@lariat/saga';
import type { StopVerdict } from '../domain/stop-verdict.js';
import type { VolumeStore } from '../adapters/volume-store.js';

export interface SagaDeps {
  readonly volumes: VolumeStore;
  readonly clock: Clock;
}

/** Input of every saga that works on one volume. */
export interface OnVolume {
  readonly volume: string;
}

const RECORD_TIMEOUT_MS = 10_000;

export function changeVolume(
  { volumes }: SagaDeps,
  context: StepContext<OnVolume, object>,
  decide: readonly VolumeChange[] | ((record: VolumeRecord) => readonly VolumeChange[]),
): Promise<VolumeRecord> {
  return volumes.change(context.input.volume, context.operation, decide, context.actor);
}

/**
 * The first step of a saga on a volume: takes the volume and checks, on the record that it takes, that the state
 * allows what is to come.
 */
export function claimStep<Input extends OnVolume, Memory>(
  deps: SagaDeps,
  prepare: (record: VolumeRecord, context: StepContext<Input, Memory>) => readonly VolumeChange[],
  options: {
    readonly remember?: (
      record: VolumeRecord,
      context: StepContext<Input, Memory>,
    ) => Partial<Memory>;
    /** What to change back before the volume is let go. */
    readonly revert?: (
      record: VolumeRecord,
      context: StepContext<Input, Memory>,
    ) => readonly VolumeChange[];
  } = {},
): SagaStep<Input, Memory> {
  return {
    name: 'claim',
    waitsFor: 'the volume to be free',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const record = await changeVolume(deps, context, (current) => [
        { type: 'claim', operation: context.operation },
        ...prepare(current, context),
      ]);
      return options.remember?.(record, context);
    },
    undo: async (context) => {
      await changeVolume(deps, context, (current) => {
        // The claim may have been refused, or given back before.
        if (current.operation !== context.operation) return [];
        return [
          ...(options.revert?.(current, context) ?? []),
          { type: 'release', operation: context.operation },
        ];
      });
    },
  };
}

/** The last step: records the outcome and lets the volume go, in one write. The operation's result is the volume. */
export function finishStep<Input extends OnVolume, Memory>(
  deps: SagaDeps,
  changes: (record: VolumeRecord, context: StepContext<Input, Memory>) => readonly VolumeChange[],
): SagaStep<Input, Memory> {
  return {
    name: 'finish',
    waitsFor: 'the outcome to be recorded',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_UNTIL_DONE,
    run: async (context) => {
      const record = await changeVolume(deps, context, (current) => {
        // Recorded by an earlier run whose own journal entry was lost.
        if (current.operation !== context.operation) return [];
        return [...changes(current, context), { type: 'release', operation: context.operation }];
      });
      await deps.volumes.tell(record);
      return rememberVolume<Memory>(record);
    },
  };
}

/** Takes out of the in-sync set what an engine has ended without. */
export function faultMissed({ clock }: SagaDeps, { lost }: StopVerdict): readonly VolumeChange[] {
  const reason = 'the engine ended without it';
  return lost.map((replica) => ({
    type: 'fault-replica',
    replica,
    reason,
    atMs: clock.nowMs(),
  }));
}

/** The volume as the operation leaves it, kept in the journal beside what the steps remember. */
export function rememberVolume<Memory>(record: VolumeRecord): Partial<Memory> {
  return { view: toVolumeView(record), snapshots: record.snapshots } as object as Partial<Memory>;
}

interface Remembered {
  readonly view?: VolumeView;
  readonly snapshots?: readonly SnapshotRecord[];
}

/** The result of an operation on a volume: the volume. */
export const volumeResult = (_input: unknown, memory: object): Json =>
  ((memory as Remembered).view ?? null) as Json;

/** The result of an operation on a snapshot: the snapshot. */
export function snapshotResult(volume: string, reference: string, memory: object): Json {
  const found = (memory as Remembered).snapshots?.find(
    ({ id, name }) => id === reference || name === reference,
  );
  return found === undefined ? null : { ...found, volume };
}
