import type { SnapshotRecord } from '@lariat/contracts';
import { COMMAND_TIMEOUT_MS, RETRY_UNTIL_DONE, type SagaDefinition, cleanUp } from '@lariat/saga';
import { assertCanDeleteSnapshot } from '../domain/preconditions.js';
import { type OnVolume, type SagaDeps, claimStep, finishStep } from './saga-deps.js';

/** `snapshot` is the id. */
export interface OnSnapshot extends OnVolume {
  readonly snapshot: string;
}

interface DeleteSnapshotMemory {
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
  /** What it was, for the answer. */
  readonly deleted: SnapshotRecord | null;
}

export function deleteSnapshotSaga(
  deps: SagaDeps,
): SagaDefinition<OnSnapshot, DeleteSnapshotMemory> {
  return {
    kind: 'snapshot.delete',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claimStep<OnSnapshot, DeleteSnapshotMemory>(
        deps,
        (record, { operation, input }) => {
          const snapshot = record.snapshots.find(({ id }) => id === input.snapshot);
          if (snapshot !== undefined) assertCanDeleteSnapshot(record, operation, snapshot);
          return [];
        },
        {
          remember: (record, { input }) => ({
            replicas: record.replicas.map(({ id, node }) => ({ id, node })),
            deleted: record.snapshots.find(({ id }) => id === input.snapshot) ?? null,
          }),
        },
      ),
      {
        // Once one replica has merged it into its child there is no way back.
        name: 'delete',
        waitsFor: (_input, memory) =>
          `replicas on ${(memory.replicas ?? []).map(({ node }) => node).join(', ')}`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          const { volume, snapshot } = context.input;
          await Promise.all(
            (context.memory.replicas ?? []).map(async ({ id, node }) => {
              const input = { replica: id, volume, snapshot };
              await cleanUp(context, node, 'snapshot.delete', input, id);
            }),
          );
        },
      },
      finishStep<OnSnapshot, DeleteSnapshotMemory>(deps, (_record, { input }) => [
        { type: 'drop-snapshot', snapshot: input.snapshot },
      ]),
    ],
    result: (input, { deleted }) =>
      deleted === undefined || deleted === null ? null : { ...deleted, volume: input.volume },
  };
}
