import { type VolumeRecord, lariatError } from '@lariat/contracts';
import { deriveSnapshotId } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  type SagaDefinition,
  type SagaStep,
  type StepContext,
  cleanUp,
} from '@lariat/saga';
import { inSyncOf } from '../domain/apply-change.js';
import { assertCanSnapshot } from '../domain/preconditions.js';
import {
  type OnVolume,
  type SagaDeps,
  claimStep,
  finishStep,
  snapshotResult,
} from './saga-deps.js';

export interface CreateSnapshotInput extends OnVolume {
  readonly snapshot: string;
}

type Memory = object;
type Context = StepContext<CreateSnapshotInput, Memory>;

/** Writers see a stall of at most this; the target opens the gate by itself after it. */
const GATE_TIMEOUT_MS = 5_000;
const UNDER_GATE_TIMEOUT_MS = 4_000;

export function createSnapshotSaga(deps: SagaDeps): SagaDefinition<CreateSnapshotInput, Memory> {
  return {
    kind: 'snapshot.create',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claimStep<CreateSnapshotInput, Memory>(deps, (record, { operation, input }) => {
        assertCanSnapshot(record, operation, deriveSnapshotId(operation), input.snapshot);
        return [];
      }),
      take(deps),
      finishStep<CreateSnapshotInput, Memory>(deps, (record, { operation, input }) => [
        {
          type: 'add-snapshot',
          snapshot: {
            id: deriveSnapshotId(operation),
            name: input.snapshot,
            sizeBytes: record.sizeBytes,
            createdAt: new Date(deps.clock.nowMs()).toISOString(),
            parent: record.headParent,
            user: true,
          },
        },
      ]),
    ],
    result: (input, memory) => snapshotResult(input.volume, input.snapshot, memory),
  };
}

/**
 * All legs are frozen at the same point between two writes: behind the engine's gate when the volume is attached.
 * If the gate opened early the snapshots may differ; they are dropped and taken again.
 */
function take(deps: SagaDeps): SagaStep<CreateSnapshotInput, Memory> {
  return {
    name: 'take',
    waitsFor: 'all replicas to be frozen at one point',
    timeoutMs: 2 * COMMAND_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const record = await deps.volumes.find(context.input.volume);
      // An earlier run may have frozen some of them at another point.
      if (context.attempt > 1) await dropTaken(context, record);
      if (record.attachment === null) await freezeAll(context, record);
      else await freezeBehindGate(deps, context, record.attachment.node, record.attachment.epoch);
    },
    undo: async (context) => dropTaken(context, await deps.volumes.find(context.input.volume)),
  };
}

async function freezeBehindGate(
  deps: SagaDeps,
  context: Context,
  node: string,
  epoch: number,
): Promise<void> {
  const { volume } = context.input;
  const gate = { volume, epoch, gate: `${context.operation}.${context.attempt}` };
  await context.command(
    node,
    'engine.close-gate',
    { ...gate, timeoutMs: GATE_TIMEOUT_MS },
    { key: volume },
  );
  let failure: unknown;
  try {
    // Read behind the gate: a leg that was lost meanwhile is out of the set.
    await freezeAll(context, await deps.volumes.find(volume));
  } catch (error) {
    failure = error;
  }
  const { held } = await context.command(node, 'engine.open-gate', gate, { key: volume });
  if (failure !== undefined) throw failure;
  if (!held) {
    throw lariatError(
      'GATE_EXPIRED',
      'The engine let writes through before all replicas were frozen.',
      { volume, node },
    );
  }
}

async function freezeAll(context: Context, record: VolumeRecord): Promise<void> {
  const snapshot = deriveSnapshotId(context.operation);
  const inSync = inSyncOf(record);
  await Promise.all(
    record.replicas
      .filter(({ id }) => inSync.includes(id))
      .map(({ id, node }) =>
        context.command(
          node,
          'snapshot.create',
          { replica: id, volume: record.id, snapshot },
          { key: id, timeoutMs: UNDER_GATE_TIMEOUT_MS },
        ),
      ),
  );
}

async function dropTaken(context: Context, record: VolumeRecord): Promise<void> {
  const snapshot = deriveSnapshotId(context.operation);
  await Promise.all(
    record.replicas.map(async ({ id, node }) => {
      const input = { replica: id, volume: record.id, snapshot };
      await cleanUp(context, node, 'snapshot.delete', input, `drop-${id}`);
    }),
  );
}
