import {
  type SnapshotView,
  type VolumeChange,
  type VolumeRecord,
  hasCode,
} from '@lariat/contracts';
import { type Json, deriveSnapshotId } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  type SagaStep,
  type StepContext,
} from '@lariat/saga';
import { assertCanSnapshot } from '../domain/preconditions.js';
import { type Freezing, dropAllFrozen, freezeVolumes } from './freeze-volume.js';
import type { SagaDeps } from './saga-deps.js';

export interface CreateSnapshotGroupInput {
  /** Ids, each once, in their order. */
  readonly volumes: readonly string[];
  /** The name that each snapshot gets. */
  readonly snapshot: string;
}

export interface CreateSnapshotGroupMemory {
  readonly takenAtMs: number;
  readonly taken: readonly SnapshotView[];
}

type Context = StepContext<CreateSnapshotGroupInput, CreateSnapshotGroupMemory>;
type Step = SagaStep<CreateSnapshotGroupInput, CreateSnapshotGroupMemory>;

const RECORD_TIMEOUT_MS = 10_000;

/** Snapshots of several volumes at one point in time: all of them, or none. */
export function createSnapshotGroupSaga(
  deps: SagaDeps,
): SagaDefinition<CreateSnapshotGroupInput, CreateSnapshotGroupMemory> {
  return {
    kind: 'snapshot.create-group',
    // The others are held by their records.
    subjectOf: ({ volumes }) => `volume/${volumes[0] ?? ''}`,
    steps: [claim(deps), take(deps), finish(deps)],
    result: (_input, { taken = [] }) =>
      ({ id: taken[0]?.group ?? null, snapshots: taken }) as unknown as Json,
  };
}

const idOf = ({ operation }: Pick<Context, 'operation'>, volume: string): string =>
  deriveSnapshotId(operation, volume);

/** Two that want the same volumes take them in the same order; who finds one taken lets go and tells so. */
function claim(deps: SagaDeps): Step {
  return {
    name: 'claim',
    waitsFor: 'all volumes to be free',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { operation, input, actor } = context;
      for (const volume of input.volumes)
        await deps.volumes.change(
          volume,
          operation,
          (current) => {
            assertCanSnapshot(current, operation, idOf(context, volume), input.snapshot);
            return [{ type: 'claim', operation }];
          },
          actor,
        );
    },
    undo: async ({ operation, input, actor }) => {
      for (const volume of input.volumes)
        await unlessGone(
          deps.volumes.change(
            volume,
            operation,
            (current) => (current.operation === operation ? [{ type: 'release', operation }] : []),
            actor,
          ),
        );
    },
  };
}

function take(deps: SagaDeps): Step {
  return {
    name: 'take',
    waitsFor: 'all replicas of all volumes to be frozen at one point',
    timeoutMs: 2 * COMMAND_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      await freezeVolumes(deps, context, await freezingOf(deps, context));
      return { takenAtMs: deps.clock.nowMs() };
    },
    undo: async (context) => dropAllFrozen(context, await freezingOf(deps, context)),
  };
}

const freezingOf = (deps: SagaDeps, context: Context): Promise<readonly Freezing[]> =>
  Promise.all(
    context.input.volumes.map(async (volume) => ({
      record: await deps.volumes.find(volume),
      snapshot: idOf(context, volume),
    })),
  );

function finish(deps: SagaDeps): Step {
  return {
    name: 'finish',
    waitsFor: 'the snapshots to be recorded',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_UNTIL_DONE,
    run: async (context) => {
      const taken: SnapshotView[] = [];
      for (const volume of context.input.volumes) {
        const record = await unlessGone(
          deps.volumes.change(
            volume,
            context.operation,
            (current) => recordTaken(current, context),
            context.actor,
          ),
        );
        if (record === undefined) continue;
        await deps.volumes.tell(record);
        const made = record.snapshots.find(({ id }) => id === idOf(context, volume));
        if (made !== undefined) taken.push({ ...made, volume });
      }
      return { taken };
    },
  };
}

function recordTaken(record: VolumeRecord, context: Context): readonly VolumeChange[] {
  const { operation, input, memory } = context;
  // Recorded by an earlier run whose own journal entry was lost.
  if (record.operation !== operation) return [];
  const snapshot = {
    id: idOf(context, record.id),
    name: input.snapshot,
    sizeBytes: record.sizeBytes,
    createdAt: new Date(memory.takenAtMs ?? 0).toISOString(),
    parent: record.headParent,
    user: true,
    group: operation,
  };
  return [
    { type: 'add-snapshot', snapshot },
    { type: 'release', operation },
  ];
}

/** A volume that was let go may have been deleted since. */
async function unlessGone<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (hasCode(error, 'VOLUME_NOT_FOUND')) return undefined;
    throw error;
  }
}
