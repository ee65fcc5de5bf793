import { type VolumeChange, hasCode, lariatError } from '@lariat/contracts';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  type SagaStep,
  attempt,
  isDeclaredGone,
  isUnanswered,
} from '@lariat/saga';
import { inSyncOf } from '../domain/replica-changes.js';
import { assertCanRevert } from '../domain/preconditions.js';
import type { OnSnapshot } from './delete-snapshot.saga.js';
import { keepChange } from './keep-change.js';
import { type SagaDeps, changeVolume, claimStep, finishStep, volumeResult } from './saga-deps.js';

interface RevertMemory {
  readonly sizeBytes: number;
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
  /** Every member was lost before it was known which of them have made it. */
  readonly isUnknown: boolean;
}

type Step = SagaStep<OnSnapshot, RevertMemory>;

const RECORD_TIMEOUT_MS = 10_000;

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
      beginStep(deps),
      revertStep(deps),
      judgeStep(),
      finishStep<OnSnapshot, RevertMemory>(deps, (_record, { input }) => [
        { type: 'revert', snapshot: input.snapshot },
      ]),
    ],
    result: volumeResult,
  };
}

/** A recovery must know that heads may differ: two that stand on one snapshot look the same (docs/adr/0016). */
function beginStep(deps: SagaDeps): Step {
  return {
    name: 'begin',
    waitsFor: 'a replica to keep that the volume is being reverted',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { operation, input } = context;
      const { snapshot } = input;
      const begun: VolumeChange = { type: 'begin-revert', operation, snapshot };
      await deps.volumes.confirm(await changeVolume(deps, context, [begun]));
    },
    undo: async (context) => {
      if (context.memory.isUnknown === true) return;
      await changeVolume(deps, context, ({ operation }) =>
        operation === context.operation ? [{ type: 'abandon-revert' }] : [],
      );
    },
  };
}

/**
 * Forward only: a head that was replaced can't be had back. A replica leaves the set when its node is declared down, or says
 * that it is not there any more. When that is so of all of them, which have made it is not known: the volume is in doubt.
 */
function revertStep(deps: SagaDeps): Step {
  return {
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
          if (isUnanswered(outcome.error) && (await isDeclaredGone(context, node)))
            return [
              stale(deps, id, `its node was down when the volume was reverted to ${snapshot}`),
            ];
          if (hasCode(outcome.error, 'REPLICA_NOT_FOUND'))
            return [stale(deps, id, outcome.error.message)];
          throw outcome.error;
        }),
      );
      const lost = results.flat();
      if (lost.length === replicas.length) {
        const reason = `all its replicas were lost while it was reverted to ${snapshot}: which have made it is not known`;
        await changeVolume(deps, context, [{ type: 'doubt-revert', reason }]);
        return { isUnknown: true };
      }
      const changed = await changeVolume(deps, context, lost);
      if (inSyncOf(changed).length < replicas.length) await keepChange(deps, context, changed);
      return {};
    },
  };
}

function judgeStep(): Step {
  return {
    name: 'judge',
    waitsFor: 'the outcome to be judged',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: ({ input, memory }) => {
      if (memory.isUnknown !== true) return Promise.resolve();
      const { volume, snapshot } = input;
      return Promise.reject(
        lariatError(
          'VOLUME_IN_DOUBT',
          `All nodes with a healthy replica of volume ${volume} were lost while it was reverted to ${snapshot}, and which replicas have made it is not known: bring the nodes back and run 'lariat recover', or delete the volume.`,
          { volume, snapshot },
        ),
      );
    },
  };
}

function stale({ clock }: SagaDeps, replica: string, reason: string): VolumeChange {
  return { type: 'fault-replica', replica, reason, atMs: clock.nowMs() };
}
