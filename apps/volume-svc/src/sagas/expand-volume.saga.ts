import { COMMAND_TIMEOUT_MS, RETRY_BRIEFLY, type SagaDefinition } from '@lariat/saga';
import { assertCanExpand } from '../domain/preconditions.js';
import { type OnVolume, type SagaDeps, claimStep, finishStep, volumeResult } from './saga-deps.js';

export interface ExpandVolumeInput extends OnVolume {
  readonly sizeBytes: number;
}

interface ExpandVolumeMemory {
  readonly fromBytes: number;
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
}

export function expandVolumeSaga(
  deps: SagaDeps,
): SagaDefinition<ExpandVolumeInput, ExpandVolumeMemory> {
  return {
    kind: 'volume.expand',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claimStep<ExpandVolumeInput, ExpandVolumeMemory>(
        deps,
        (record, { operation, input }) => {
          assertCanExpand(record, operation, input.sizeBytes);
          return [];
        },
        {
          remember: (record) => ({
            fromBytes: record.sizeBytes,
            replicas: record.replicas
              .filter(({ mode }) => mode === 'RW')
              .map(({ id, node }) => ({ id, node })),
          }),
        },
      ),
      {
        name: 'reserve',
        waitsFor: 'space for the growth',
        timeoutMs: COMMAND_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async ({ client, input, memory }) => {
          const replicas = (memory.replicas ?? []).map(({ id }) => id);
          await client.request('internal.placement.grow', { replicas, sizeBytes: input.sizeBytes });
        },
        undo: async ({ client, memory }) => {
          const replicas = (memory.replicas ?? []).map(({ id }) => id);
          if (memory.fromBytes !== undefined) {
            await client.request('internal.placement.grow', {
              replicas,
              sizeBytes: memory.fromBytes,
            });
          }
        },
      },
      {
        // Not undone: a leg that is larger than its volume harms nothing, one that is cut could.
        name: 'resize-replicas',
        waitsFor: (_input, memory) =>
          `replicas on ${(memory.replicas ?? []).map(({ node }) => node).join(', ')}`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { volume, sizeBytes } = context.input;
          await Promise.all(
            (context.memory.replicas ?? []).map(({ id, node }) =>
              context.command(
                node,
                'replica.resize',
                { replica: id, volume, sizeBytes },
                { key: id },
              ),
            ),
          );
        },
      },
      finishStep<ExpandVolumeInput, ExpandVolumeMemory>(deps, (_record, { input }) => [
        { type: 'resize', sizeBytes: input.sizeBytes },
      ]),
    ],
    result: volumeResult,
  };
}
