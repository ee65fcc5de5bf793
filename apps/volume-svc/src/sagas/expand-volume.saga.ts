import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  RETRY_UNTIL_KNOWN,
  type SagaDefinition,
  UNDO_COMMAND_TIMEOUT_MS,
  attemptWhileLive,
  cleanUp,
} from '@lariat/saga';
import { isRetryable } from '@lariat/kernel';
import { assertCanExpand } from '../domain/preconditions.js';
import {
  type ExpandContext,
  type ExpandVolumeInput,
  type ExpandVolumeMemory,
  growDetached,
  growUnderEngine,
} from './expand-replicas.js';
import { type SagaDeps, claimStep, finishStep, volumeResult } from './saga-deps.js';

/** Asked for this often, a second apart at most; what is larger by then is shown by the next attach. */
const ENGINE_ATTEMPTS = 20;

/** Makes a volume larger; an attached one while it is in use. */
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
            engine:
              record.attachment === null
                ? null
                : { node: record.attachment.node, epoch: record.attachment.epoch },
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
        // Under an engine nothing is shrunk again: what a node has done must be known before the step ends.
        retry: RETRY_UNTIL_KNOWN,
        run: async (context) => {
          if ((context.memory.engine ?? null) === null) await growDetached(context);
          else await growUnderEngine(deps, context);
        },
        // All replicas grow or none: one that stayed larger could fill space that is promised to others. The agent
        // takes back only what this very operation has grown, so no byte of a user can be beyond. Under an engine
        // the step fails only when no replica has grown.
        undo: async (context) => {
          const { volume } = context.input;
          const { replicas = [], fromBytes = 0, engine = null } = context.memory;
          if (engine !== null) return;
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
      {
        name: 'resize-engine',
        waitsFor: (_input, { engine }) =>
          engine == null ? 'nothing' : `the engine on ${engine.node} to show the new size`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: { attempts: ENGINE_ATTEMPTS + 1, backoff: RETRY_BRIEFLY.backoff },
        run: showToHosts,
      },
      finishStep<ExpandVolumeInput, ExpandVolumeMemory>(deps, (_record, { input }) => [
        { type: 'resize', sizeBytes: input.sizeBytes },
      ]),
    ],
    result: volumeResult,
  };
}

/** Behind the point of no return: what keeps an engine from showing the size must not keep it from the record. */
async function showToHosts(context: ExpandContext): Promise<void> {
  const { engine = null } = context.memory;
  const { volume, sizeBytes } = context.input;
  if (engine === null) return;
  const input = { volume, epoch: engine.epoch, sizeBytes };
  const outcome = await attemptWhileLive(context, engine.node, 'engine.resize', input, volume);
  if (outcome.ok) return;
  const isLastTry = context.attempt >= ENGINE_ATTEMPTS;
  if (!isLastTry && isRetryable(outcome.error.kind)) throw outcome.error;
  context.log.warn('the new size shows at the next attach', {
    volume,
    node: engine.node,
    error: outcome.error.message,
  });
}
