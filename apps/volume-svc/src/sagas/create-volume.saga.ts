import { deriveVolumeId } from '@lariat/kernel';
import { COMMAND_TIMEOUT_MS, RETRY_BRIEFLY, type SagaDefinition } from '@lariat/saga';
import {
  type NewVolumeInput,
  type NewVolumeMemory,
  deleteNewReplicas,
  finishNewStep,
  placeNewVolume,
  reserveNameStep,
  unplaceNewVolume,
} from './new-volume.js';
import { type SagaDeps, volumeResult } from './saga-deps.js';

const PLACE_TIMEOUT_MS = 10_000;

export function createVolumeSaga(deps: SagaDeps): SagaDefinition<NewVolumeInput, NewVolumeMemory> {
  return {
    kind: 'volume.create',
    subjectOf: (input) => `volume-name/${input.name}`,
    steps: [
      reserveNameStep(deps),
      {
        name: 'place',
        waitsFor: 'disks to be chosen for the replicas',
        timeoutMs: PLACE_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => ({ placements: await placeNewVolume(deps, context) }),
        undo: (context) => unplaceNewVolume(deps, context),
      },
      {
        name: 'create-replicas',
        waitsFor: (_input, memory) =>
          `replicas on ${(memory.placements ?? []).map(({ node }) => node).join(', ')}`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: { ...RETRY_BRIEFLY, attempts: 2 },
        run: async (context) => {
          const volume = deriveVolumeId(context.operation);
          const { sizeBytes } = context.input;
          const made = await Promise.all(
            (context.memory.placements ?? []).map(async ({ replica, node, disk }) => {
              const input = { replica, volume, disk, sizeBytes };
              const options = { key: replica, timeoutMs: COMMAND_TIMEOUT_MS };
              const { lvolUuid } = await context.command(node, 'replica.create', input, options);
              return [replica, lvolUuid] as const;
            }),
          );
          return { lvolUuids: Object.fromEntries(made) };
        },
        undo: (context) => deleteNewReplicas(deps, context),
      },
      finishNewStep(deps),
    ],
    result: volumeResult,
  };
}
