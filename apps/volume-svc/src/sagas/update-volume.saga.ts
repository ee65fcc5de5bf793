import { NO_QOS, type VolumeQos, type VolumeRecord } from '@lariat/contracts';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  type SagaDefinition,
  type StepContext,
  attempt,
  isDeclaredGone,
  isUnanswered,
} from '@lariat/saga';
import { assertCanUpdate } from '../domain/preconditions.js';
import { type OnVolume, type SagaDeps, claimStep, finishStep, volumeResult } from './saga-deps.js';

export interface UpdateVolumeInput extends OnVolume {
  /** All limits as they are to be. */
  readonly qos: VolumeQos;
}

interface UpdateVolumeMemory {
  readonly before: VolumeQos;
  readonly engine: { readonly node: string; readonly epoch: number } | null;
}

type Context = StepContext<UpdateVolumeInput, UpdateVolumeMemory>;

/** Changes what hosts may do with a volume; on a running engine at once, else from the next attach on. */
export function updateVolumeSaga(
  deps: SagaDeps,
): SagaDefinition<UpdateVolumeInput, UpdateVolumeMemory> {
  return {
    kind: 'volume.update',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claimStep<UpdateVolumeInput, UpdateVolumeMemory>(
        deps,
        (record, { operation }) => {
          assertCanUpdate(record, operation);
          return [];
        },
        { remember },
      ),
      {
        name: 'limit-engine',
        waitsFor: (_input, { engine }) =>
          engine == null ? 'nothing' : `the engine on ${engine.node}`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: (context) => limitEngine(context, context.input.qos),
        undo: (context) => limitEngine(context, context.memory.before ?? NO_QOS),
      },
      finishStep<UpdateVolumeInput, UpdateVolumeMemory>(deps, (_record, { input }) => [
        { type: 'set-qos', qos: input.qos },
      ]),
    ],
    result: volumeResult,
  };
}

const remember = ({ attachment, qos }: VolumeRecord): UpdateVolumeMemory => ({
  before: qos ?? NO_QOS,
  engine: attachment === null ? null : { node: attachment.node, epoch: attachment.epoch },
});

async function limitEngine(context: Context, qos: VolumeQos): Promise<void> {
  const { engine = null } = context.memory;
  if (engine === null) return;
  const { volume } = context.input;
  const input = { volume, epoch: engine.epoch, qos };
  const outcome = await attempt(context, engine.node, 'engine.set-qos', input, volume);
  if (outcome.ok) return;
  // The next engine has them from its start.
  if (isUnanswered(outcome.error) && (await isDeclaredGone(context, engine.node))) return;
  throw outcome.error;
}
