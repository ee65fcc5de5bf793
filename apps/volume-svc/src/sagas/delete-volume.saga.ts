import { type VolumeChange, type VolumeView, hasCode, toVolumeView } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { COMMAND_TIMEOUT_MS, RETRY_UNTIL_DONE, type SagaDefinition, cleanUp } from '@lariat/saga';
import { assertCanDelete } from '../domain/preconditions.js';
import { type OnVolume, type SagaDeps, claimStep } from './saga-deps.js';

interface DeleteVolumeMemory {
  readonly name: string;
  /** What it was, for the answer. */
  readonly deleted: VolumeView;
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
  /** The volume that it was cloned from. */
  readonly source: string | null;
}

export function deleteVolumeSaga(deps: SagaDeps): SagaDefinition<OnVolume, DeleteVolumeMemory> {
  const { volumes } = deps;
  return {
    kind: 'volume.delete',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claimStep<OnVolume, DeleteVolumeMemory>(
        deps,
        (record, { operation }) => {
          assertCanDelete(record, operation);
          return [{ type: 'transition', event: 'delete' }];
        },
        {
          remember: (record) => ({
            name: record.name,
            deleted: toVolumeView(record),
            replicas: record.replicas.map(({ id, node }) => ({ id, node })),
            source: record.source?.volume ?? null,
          }),
        },
      ),
      {
        name: 'delete-replicas',
        waitsFor: (_input, memory) =>
          `replicas to go on ${(memory.replicas ?? []).map(({ node }) => node).join(', ')}`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          await Promise.all(
            (context.memory.replicas ?? []).map(async ({ id, node }) => {
              const input = { replica: id, volume: context.input.volume };
              await cleanUp(context, node, 'replica.delete', input, id);
            }),
          );
        },
      },
      {
        name: 'forget',
        waitsFor: 'the records to be removed',
        timeoutMs: COMMAND_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async ({ operation, input, memory, client, actor }) => {
          const unlink: VolumeChange = { type: 'drop-clone', volume: input.volume };
          if (memory.source != null)
            await volumes.change(memory.source, operation, [unlink], actor).catch(isGone);
          await client.request('internal.placement.release', {
            replicas: (memory.replicas ?? []).map(({ id }) => id),
          });
          if (memory.name !== undefined) await volumes.names.release(memory.name, input.volume);
          await volumes.remove(input.volume, 'deleted', actor).catch(isGone);
        },
      },
    ],
    result: (_input, { deleted }) => (deleted ?? null) as Json,
  };
}

function isGone(error: unknown): void {
  if (!hasCode(error, 'VOLUME_NOT_FOUND')) throw error;
}
