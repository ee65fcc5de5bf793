import {
  type VolumeRecord,
  type VolumeView,
  hasCode,
  lariatError,
  robustnessOf,
  toVolumeView,
} from '@lariat/contracts';
import { type Json, delay } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  followOperation,
  outcomeOf,
  type SagaDefinition,
  type StepContext,
  whileWanted,
} from '@lariat/saga';
import { nextScaleStep } from '../domain/scale.js';
import { findVolume } from './find-volume.js';
import { changeVolume } from './hold-volume.js';
import type { RebuildDeps } from './rebuild-memory.js';

export interface ScaleVolumeInput {
  readonly volume: string;
  readonly replicas: number;
}

interface ScaleVolumeMemory {
  /** How many the volume was to have. */
  readonly before: number;
  readonly view: VolumeView;
}

type Context = StepContext<ScaleVolumeInput, ScaleVolumeMemory>;

const RECORD_TIMEOUT_MS = 10_000;
/** A rebuild may take long; its own steps see to it that it ends. */
const SCALE_TIMEOUT_MS = 24 * 3_600_000;
const TRY_AGAIN_MS = 200;

/**
 * Changes how many replicas a volume has: more by rebuilds, fewer by taking away the one that is missed least, each
 * an operation of its own. If one can't be, the number is set back and what was added goes.
 */
export function scaleVolumeSaga(
  deps: RebuildDeps,
): SagaDefinition<ScaleVolumeInput, ScaleVolumeMemory> {
  return {
    kind: 'volume.scale',
    // Not `volume/…`: the rebuilds and removals that it asks for are on that.
    subjectOf: (input) => `volume-replicas/${input.volume}`,
    steps: [
      {
        name: 'set-count',
        waitsFor: 'the volume to be free',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const before =
            context.memory.before ?? (await findVolume(deps, context.input.volume)).replicaCount;
          // First: a run that finds its own number must not take it for the old one.
          await context.checkpoint({ before });
          await setCount(context, context.input.replicas);
        },
        undo: async (context) => {
          const { before } = context.memory;
          if (before !== undefined) await setCount(context, before);
        },
      },
      {
        name: 'reach-count',
        waitsFor: (input) => `volume ${input.volume} to have ${input.replicas} replica(s)`,
        timeoutMs: SCALE_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: (context) => reach(deps, context, context.input.replicas, true),
        undo: async (context) => {
          const { before = context.input.replicas } = context.memory;
          // First, or what is taken away here would be rebuilt at once.
          await setCount(context, before);
          // What is missing is rebuilt by the reconciler, as ever.
          await reach(deps, context, before, false);
        },
      },
      {
        name: 'show',
        waitsFor: 'the record',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => ({
          view: toVolumeView(await findVolume(deps, context.input.volume)),
        }),
      },
    ],
    result: (_input, { view }) => (view ?? null) as Json,
  };
}

/** Whether the number of the volume's replicas may be changed. */
export function assertCanScale(record: VolumeRecord): void {
  if (robustnessOf(record) !== 'faulted') return;
  throw lariatError(
    'VOLUME_FAULTED',
    `Volume '${record.name}' has no healthy replica: bring one of its nodes back first.`,
    { volume: record.id },
  );
}

/** In one write: the volume is held for no longer. */
async function setCount(context: Context, replicas: number): Promise<void> {
  const { operation } = context;
  await changeVolume(context, [
    { type: 'claim', operation },
    { type: 'set-replica-count', replicas },
    { type: 'release', operation },
  ]);
}

async function reach(
  deps: RebuildDeps,
  context: Context,
  wanted: number,
  mayAdd: boolean,
): Promise<void> {
  const { client, input } = context;
  const { volume } = input;
  for (;;) {
    const step = nextScaleStep(await findVolume(deps, volume), wanted, deps.nodes.list());
    if (step.kind === 'done' || (step.kind === 'add' && !mayAdd)) return;
    try {
      if (step.kind === 'wait')
        await whileWanted(context, followOperation(client, step.operation, context.waitsOn));
      else {
        const begun =
          step.kind === 'add'
            ? await client.request('replica.rebuild', { volume, wait: false })
            : await client.request('replica.remove', {
                volume,
                replica: step.replica,
                wait: false,
              });
        await outcomeOf(context, begun);
      }
    } catch (error) {
      // Somebody else was at it meanwhile: what is left to do shows in the record.
      if (!hasCode(error, 'OPERATION_IN_PROGRESS', 'VOLUME_HEALTHY', 'REPLICA_NOT_FOUND'))
        throw error;
      await delay(TRY_AGAIN_MS);
    }
  }
}
