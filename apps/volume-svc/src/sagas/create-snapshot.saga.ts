import { deriveSnapshotId } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  type SagaDefinition,
  type SagaStep,
} from '@lariat/saga';
import { assertCanSnapshot } from '../domain/preconditions.js';
import { dropFrozen, freezeVolume } from './freeze-volume.js';
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

function take(deps: SagaDeps): SagaStep<CreateSnapshotInput, Memory> {
  return {
    name: 'take',
    waitsFor: 'all replicas to be frozen at one point',
    timeoutMs: 2 * COMMAND_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const record = await deps.volumes.find(context.input.volume);
      await freezeVolume(deps, context, record, deriveSnapshotId(context.operation));
    },
    undo: async (context) => {
      const record = await deps.volumes.find(context.input.volume);
      await dropFrozen(context, record, deriveSnapshotId(context.operation));
    },
  };
}
