import type { VolumeChange } from '@lariat/contracts';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  attempt,
  isDeclaredGone,
  isUnanswered,
} from '@lariat/saga';
import { inSyncOf } from '../domain/apply-change.js';
import { assertCanRevert } from '../domain/preconditions.js';
import type { OnSnapshot } from './delete-snapshot.saga.js';
import { keepChange } from './keep-change.js';
import { type SagaDeps, changeVolume, claimStep, finishStep, volumeResult } from './saga-deps.js';

interface RevertMemory {
  readonly sizeBytes: number;
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
}

export function revertSnapshotSaga(deps: SagaDeps): SagaDefinition<OnSnapshot, RevertMemory> {
  return {
    kind: 'snapshot.revert',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claimStep<OnSnapshot, RevertMemory>(
        deps,
        (record, { operation }) => {
          assertCanRevert(record, operation);
          return [];
        },
        {
          remember: (record) => ({
            sizeBytes: record.sizeBytes,
            replicas: record.replicas
              .filter(({ mode }) => mode === 'RW')
              .map(({ id, node }) => ({ id, node })),
          }),
        },
      ),
      {
        // Forward only: a head that was replaced can't be had back. A replica whose node is declared down leaves the set.
        name: 'revert',
        waitsFor: (_input, memory) =>
          `replicas on ${(memory.replicas ?? []).map(({ node }) => node).join(', ')}`,
        timeoutMs: 3 * COMMAND_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          const { volume, snapshot } = context.input;
          const { sizeBytes = 0, replicas = [] } = context.memory;
          const results = await Promise.all(
            replicas.map(async ({ id, node }) => {
              const input = { replica: id, volume, snapshot, sizeBytes };
              const outcome = await attempt(context, node, 'replica.revert', input, id);
              if (outcome.ok) return [];
              if (isUnanswered(outcome.error) && (await isDeclaredGone(context, node))) {
                return [stale(deps, id, snapshot)];
              }
              throw outcome.error;
            }),
          );
          const changed = await changeVolume(deps, context, results.flat());
          if (inSyncOf(changed).length < replicas.length) await keepChange(deps, context, changed);
        },
      },
      finishStep<OnSnapshot, RevertMemory>(deps, (_record, { input }) => [
        { type: 'revert', snapshot: input.snapshot },
      ]),
    ],
    result: volumeResult,
  };
}

function stale(deps: SagaDeps, replica: string, snapshot: string): VolumeChange {
  const reason = `its node was down when the volume was reverted to ${snapshot}`;
  return { type: 'fault-replica', replica, reason, atMs: deps.clock.nowMs() };
}
