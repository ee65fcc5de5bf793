import {
  type SnapshotRecord,
  type VolumeChange,
  type VolumeContent,
  type VolumeRecord,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import { deriveVolumeId } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  FETCH_IMAGE_RETRY,
  FETCH_IMAGE_TIMEOUT_MS,
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  type SagaStep,
  type StepContext,
  tryFetchImage,
} from '@lariat/saga';
import { cloneReplicas, copyReplicas, unmade } from './clone-replicas.js';
import { type WantedClone, freezeForClone, unfreezeForClone } from './freeze-for-clone.js';
import {
  type NewVolumeInput,
  type NewVolumeMemory,
  type Origin,
  deleteNewReplicas,
  disksWith,
  finishNewStep,
  placeNewVolume,
  reserveNameStep,
  unplaceNewVolume,
} from './new-volume.js';
import { type SagaDeps, volumeResult } from './saga-deps.js';

export interface CloneVolumeInput extends NewVolumeInput {
  /** Ids; without a snapshot the content is what the source holds when the clone is made. */
  readonly source: { readonly volume: string; readonly snapshot: string | null };
}

export interface CloneVolumeMemory extends NewVolumeMemory {
  /** The source's snapshot that is cloned. */
  readonly snapshot: SnapshotRecord;
  /** Whether a replica shares clusters with the source: not when all were copied. */
  readonly shares: boolean;
  /** The image that replicas which are copied are to stand on, as the source does; null: none, all is copied. */
  readonly image: string | null;
}

export type CloneContext = StepContext<CloneVolumeInput, CloneVolumeMemory>;
type Step = SagaStep<CloneVolumeInput, CloneVolumeMemory>;

const RECORD_TIMEOUT_MS = 10_000;
/** A copy may take long; what ends it early is a node that is declared gone. */
const COPY_TIMEOUT_MS = 24 * 3_600_000;

/**
 * Makes a volume from a snapshot of another, or from what that holds now. Where a replica comes to a disk with one of
 * the source's it is a clone of the snapshot's lvol: there at once, and clusters are shared until one side writes
 * them. Elsewhere it is a full copy. The source is held only while its snapshot is taken and the clone is noted.
 */
export function cloneVolumeSaga(
  deps: SagaDeps,
): SagaDefinition<CloneVolumeInput, CloneVolumeMemory> {
  return {
    kind: 'volume.clone',
    subjectOf: (input) => `volume-name/${input.name}`,
    steps: [
      reserveNameStep(deps),
      freezeSource(deps),
      place(deps),
      {
        name: 'clone-replicas',
        waitsFor: nodesOf,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: (context) => cloneReplicas(deps, context),
        undo: (context) => deleteNewReplicas(deps, context),
      },
      {
        name: 'fetch-image',
        waitsFor: (input, memory) =>
          `the image of ${input.source.volume}, if it has one, to be there for ${nodesOf(input, memory)}`,
        timeoutMs: FETCH_IMAGE_TIMEOUT_MS,
        retry: FETCH_IMAGE_RETRY,
        run: (context) => fetchForCopies(deps, context),
      },
      {
        name: 'copy-replicas',
        waitsFor: (input, memory) =>
          `the content of ${input.source.volume} to be copied to ${nodesOf(input, memory)}`,
        timeoutMs: COPY_TIMEOUT_MS,
        retry: { ...RETRY_BRIEFLY, attempts: 10 },
        run: (context) => copyReplicas(deps, context),
        undo: (context) => deleteNewReplicas(deps, context),
      },
      finishNewStep(deps),
      settleSource(deps),
    ],
    result: volumeResult,
  };
}

const FOREIGN: VolumeContent = { state: 'foreign' };

const nodesOf = (_input: unknown, memory: Readonly<Partial<CloneVolumeMemory>>): string =>
  `replicas on ${(memory.placements ?? []).map(({ node }) => node).join(', ')}`;

function freezeSource(deps: SagaDeps): Step {
  return {
    name: 'freeze-source',
    waitsFor: (input) => `volume ${input.source.volume} to be free, and to be frozen at one point`,
    timeoutMs: 2 * COMMAND_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => ({ snapshot: await freezeForClone(deps, context, cloneOf(context)) }),
    undo: async (context) => {
      // The clone had been made, and stands on the snapshot: a recovery settles it.
      if (context.memory.knownOn === undefined)
        await unfreezeForClone(deps, context, cloneOf(context));
    },
  };
}

const cloneOf = ({ operation, input }: CloneContext): WantedClone => ({
  ...input.source,
  clone: { volume: deriveVolumeId(operation), name: input.name, operation },
});

function place(deps: SagaDeps): Step {
  return {
    name: 'place',
    waitsFor: 'disks to be chosen for the replicas',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { volume } = context.input.source;
      const { snapshot } = context.memory;
      if (snapshot === undefined) throw lariatError('RECORD_CORRUPT', 'No snapshot is journaled.');
      const { value: source } = await deps.volumes.findFresh(volume);
      if (context.input.sizeBytes < snapshot.sizeBytes) {
        throw lariatError(
          'VOLUME_SHRINK',
          `Volume '${source.name}' has grown to ${snapshot.sizeBytes} bytes: its clone can't have ${context.input.sizeBytes}.`,
          { volume, sizeBytes: snapshot.sizeBytes },
        );
      }
      const origin = {
        source: { volume, snapshot: snapshot.id },
        // Also of one that is blank: it may be written before it is frozen.
        content: FOREIGN,
        disks: source.replicas.filter(({ mode }) => mode === 'RW').map(({ disk }) => disk),
        // What it shares with the source stands on the image, and is used for as long as the clone is there.
        image: source.image ?? null,
        copies: await copiesOf(context, source),
      };
      return { placements: await placeNewVolume(deps, context, origin) };
    },
    undo: (context) => unplaceNewVolume(deps, context),
  };
}

/** A copy that can't be had is done without, so that no room is asked for one; what is not known is no reason to wait. */
async function copiesOf(
  { client, log, operation }: CloneContext,
  { image = null }: VolumeRecord,
): Promise<Origin['copies']> {
  if (image === null) return null;
  try {
    const { copies } = await client.request('internal.image.record', { image });
    return { id: image, disks: disksWith(copies), copyBytes: 0 };
  } catch (error) {
    log.info('copies of the image not known', { operation, image, error });
    return null;
  }
}

/** The image that copies of the source stand on; null: none, or it can't be had. */
async function fetchForCopies(
  deps: SagaDeps,
  context: CloneContext,
): Promise<Partial<CloneVolumeMemory>> {
  const { value: source } = await deps.volumes.findFresh(context.input.source.volume);
  const { image = null } = source;
  const disks = unmade(context).map(({ node, disk }) => ({ node, disk }));
  if (image === null || disks.length === 0) return { image: null };
  const volume = deriveVolumeId(context.operation);
  const missing = await tryFetchImage(context, { image, disks, volume });
  return { image: missing === undefined ? image : null };
}

/** The source learns that its clone reads nothing of it any more but what they share. */
function settleSource({ volumes }: SagaDeps): Step {
  return {
    name: 'settle-source',
    waitsFor: 'the source to be told',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_UNTIL_DONE,
    run: async ({ operation, input, memory, actor }) => {
      const type = memory.shares === true ? 'settle-clone' : 'drop-clone';
      const change: VolumeChange = { type, volume: deriveVolumeId(operation) };
      await volumes
        .change(input.source.volume, operation, [change], actor)
        .catch((error: unknown) => {
          // Told by an earlier run, the source may have been deleted since.
          if (!hasCode(error, 'VOLUME_NOT_FOUND')) throw error;
        });
    },
  };
}
