import { hasCode, lariatError } from '@lariat/contracts';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  type SagaStep,
  type StepContext,
  attempt,
  attemptWhileLive,
  isDeclaredGone,
  isUnanswered,
  cleanUp,
} from '@lariat/saga';
import { inSyncOf } from '../domain/replica-changes.js';
import { assertCanDetach } from '../domain/preconditions.js';
import { judgeStop } from '../domain/stop-verdict.js';
import { keepChange } from './keep-change.js';
import {
  type OnVolume,
  type SagaDeps,
  changeVolume,
  claimStep,
  faultMissed,
  finishStep,
  volumeResult,
} from './saga-deps.js';

interface DetachVolumeMemory {
  readonly epoch: number;
  readonly node: string;
  readonly replicas: readonly { readonly id: string; readonly node: string }[];
  /** The in-sync set that the engine began to stop with. */
  readonly inSync: readonly string[];
  /** Replicas that had every write when the engine ended; null when that is not known. */
  readonly inStep: readonly string[] | null;
}

type Context = StepContext<OnVolume, DetachVolumeMemory>;
type Step = SagaStep<OnVolume, DetachVolumeMemory>;

/** Outside in: the users' door first, then the engine, then the legs. */
export function detachVolumeSaga(deps: SagaDeps): SagaDefinition<OnVolume, DetachVolumeMemory> {
  return {
    kind: 'volume.detach',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claim(deps),
      stopFrontend,
      stopEngine(deps),
      unexportLegs,
      finishStep<OnVolume, DetachVolumeMemory>(deps, (record, { memory }) => {
        const verdict = judgeStop(record, memory.inStep ?? null);
        return [
          ...faultMissed(deps, verdict),
          { type: 'set-attachment', attachment: null },
          { type: 'set-clean', clean: verdict.clean },
          { type: 'transition', event: 'detached' },
        ];
      }),
    ],
    result: volumeResult,
  };
}

/** Refused while the volume's block device is in use: nothing has been changed then. */
function claim(deps: SagaDeps): Step {
  const step = claimStep<OnVolume, DetachVolumeMemory>(
    deps,
    (record, { operation }) => {
      assertCanDetach(record, operation);
      return [{ type: 'transition', event: 'detach' }];
    },
    {
      remember: (record) => ({
        epoch: record.attachment?.epoch ?? record.epoch,
        node: record.attachment?.node ?? '',
        replicas: record.replicas.map(({ id, node }) => ({ id, node })),
        inSync: inSyncOf(record),
      }),
    },
  );
  return {
    ...step,
    waitsFor: 'the volume to be free, and its node to say that nothing uses its block device',
    timeoutMs: 2 * COMMAND_TIMEOUT_MS,
    run: async (context) => {
      await assertUnused(deps, context);
      return step.run(context);
    },
  };
}

async function assertUnused(deps: SagaDeps, context: Context): Promise<void> {
  const { attachment, operation, name } = await deps.volumes.find(context.input.volume);
  // What is claimed already goes on; its frontend refuses for as long as it is in use.
  if (attachment === null || operation !== null) return;
  if (attachment.frontend !== 'loop' && attachment.frontend !== 'kernel') return;
  const { node, epoch } = attachment;
  const volume = context.input.volume;
  const input = { volume, epoch };
  const told = await attemptWhileLive(context, node, 'frontend.users', input, volume);
  if (!told.ok) {
    // Nothing uses a device of a node that is gone. Of one that does not answer, nobody knows (invariant 2).
    if (hasCode(told.error, 'NODE_NOT_READY')) return;
    throw told.error;
  }
  if (told.output.users.length === 0) return;
  throw lariatError(
    'DEVICE_BUSY',
    `Volume '${name}' is in use on node '${node}' (${told.output.users.join('; ')}): unmount it there, or end what uses it, and detach it then.`,
    { volume, node, users: told.output.users },
  );
}

const stopFrontend: Step = {
  name: 'stop-frontend',
  waitsFor: (_input, memory) =>
    `the frontend on ${memory.node ?? '?'}, and what uses its block device to let go of it`,
  timeoutMs: 2 * COMMAND_TIMEOUT_MS,
  retry: RETRY_UNTIL_DONE,
  run: async (context) => {
    const { node = '', epoch = 0 } = context.memory;
    const { volume } = context.input;
    await cleanUp(context, node, 'frontend.stop', { volume, epoch }, volume);
  },
};

function stopEngine(deps: SagaDeps): Step {
  return {
    name: 'stop-engine',
    waitsFor: (_input, memory) =>
      `the engine on ${memory.node ?? '?'} to stop, or the node to be declared down`,
    timeoutMs: 2 * COMMAND_TIMEOUT_MS,
    retry: RETRY_UNTIL_DONE,
    run: async (context) => {
      const { node = '', epoch = 0 } = context.memory;
      const { volume } = context.input;
      const outcome = await attempt(context, node, 'engine.stop', { volume, epoch }, volume);
      const isGone =
        !outcome.ok && isUnanswered(outcome.error) && (await isDeclaredGone(context, node));
      if (!outcome.ok && !isGone) throw outcome.error;
      const inStep = outcome.ok ? outcome.output.inStep : null;
      await recordMissed(deps, context, inStep);
      return { inStep };
    },
  };
}

/** Who was missed is kept beside the others before the volume is detached: what follows may start from any of them. */
async function recordMissed(
  deps: SagaDeps,
  context: Context,
  inStep: readonly string[] | null,
): Promise<void> {
  const changed = await changeVolume(deps, context, (record) =>
    faultMissed(deps, judgeStop(record, inStep)),
  );
  // Also what an earlier run of this step has put on record, and come no further with.
  const { inSync = [] } = context.memory;
  if (inSyncOf(changed).length === inSync.length) return;
  await keepChange(deps, context, changed);
}

const unexportLegs: Step = {
  name: 'unexport-legs',
  waitsFor: (_input, memory) =>
    `replicas on ${(memory.replicas ?? []).map(({ node }) => node).join(', ')}`,
  timeoutMs: 2 * COMMAND_TIMEOUT_MS,
  retry: RETRY_UNTIL_DONE,
  run: async (context) => {
    const { epoch = 0, replicas = [] } = context.memory;
    const { volume } = context.input;
    await Promise.all(
      replicas.map(async ({ id, node }) => {
        const input = { replica: id, volume, epoch };
        await cleanUp(context, node, 'replica.unexport', input, id);
      }),
    );
  },
};
