import { COMMAND_TIMEOUT_MS, RETRY_BRIEFLY, type SagaDefinition, cleanUp } from '@lariat/saga';
import { assertCanExpand } from '../domain/preconditions.js';
import { type OnVolume, type SagaDeps, claimStep, finishStep, volumeResult } from './saga-deps.js';

export interface ExpandVolumeInput extends OnVolume {
  readonly sizeBytes: number;
}

interface ExpandVolumeMemory {
  readonly fromBytes: number;
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
}

/** An undo may find a node that does not answer; it asks once more whether the node is gone. */
const UNDO_COMMAND_TIMEOUT_MS = 5_000;

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
        name: 'resize-replicas',
        waitsFor: (_input, memory) =>
          `replicas on ${(memory.replicas ?? []).map(({ node }) => node).join(', ')}`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { volume, sizeBytes } = context.input;
          const results = await Promise.allSettled(
            (context.memory.replicas ?? []).map(({ id, node }) =>
              context.command(
                node,
                'replica.resize',
                { replica: id, volume, sizeBytes },
                { key: id },
              ),
            ),
          );
          // Only when all have answered: nothing may grow behind the undo's back.
          const failed = results.find((result) => result.status === 'rejected');
          if (failed !== undefined) throw failed.reason;
        },
        // All replicas grow or none: one that stayed larger could fill space that is promised to others. The agent
        // takes back only what this very operation has grown, so no byte of a user can be beyond.
        undo: async (context) => {
          const { volume } = context.input;
          const { replicas = [], fromBytes = 0 } = context.memory;
          await Promise.all(
            replicas.map(({ id, node }) =>
              cleanUp(
                context,
                node,
                'replica.resize',
                { replica: id, volume, sizeBytes: fromBytes, undo: true },
                id,
                UNDO_COMMAND_TIMEOUT_MS,
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
