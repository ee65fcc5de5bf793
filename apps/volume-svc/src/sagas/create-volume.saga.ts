import { type ImageCopyReference, type Placement, hasCode, lariatError } from '@lariat/contracts';
import { deriveVolumeId } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  FETCH_IMAGE_RETRY,
  FETCH_IMAGE_TIMEOUT_MS,
  RETRY_BRIEFLY,
  type SagaDefinition,
  type StepContext,
  fetchImage,
} from '@lariat/saga';
import { assertImageFits } from '../domain/preconditions.js';
import {
  type NewVolumeInput,
  type NewVolumeMemory,
  deleteNewReplicas,
  finishNewStep,
  originOf,
  placeNewVolume,
  reserveNameStep,
  unplaceNewVolume,
} from './new-volume.js';
import { type SagaDeps, volumeResult } from './saga-deps.js';

type Context = StepContext<NewVolumeInput, NewVolumeMemory>;

const PLACE_TIMEOUT_MS = 10_000;
/** With the time that a copy may take that was given up meanwhile. */
const CREATE_TIMEOUT_MS = 60_000;

const nodesOf = ({ placements = [] }: Readonly<Partial<NewVolumeMemory>>): string =>
  placements.map(({ node }) => node).join(', ');

export function createVolumeSaga(deps: SagaDeps): SagaDefinition<NewVolumeInput, NewVolumeMemory> {
  return {
    kind: 'volume.create',
    subjectOf: (input) => `volume-name/${input.name}`,
    steps: [
      reserveNameStep(deps),
      {
        name: 'place',
        waitsFor: 'disks to be chosen for the replicas',
        timeoutMs: PLACE_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => ({ placements: await place(deps, context) }),
        undo: (context) => unplaceNewVolume(deps, context),
      },
      {
        name: 'fetch-image',
        waitsFor: ({ image = null }, memory) =>
          image === null
            ? 'nothing, as it has no image'
            : `image ${image} to be on the disks of ${nodesOf(memory)}`,
        timeoutMs: FETCH_IMAGE_TIMEOUT_MS,
        retry: FETCH_IMAGE_RETRY,
        // After the record names the image: whoever deletes that sees the volume, or is seen here to have begun.
        run: (context) => fetchFor(context, context.memory.placements ?? []),
      },
      {
        name: 'create-replicas',
        waitsFor: (_input, memory) => `replicas on ${nodesOf(memory)}`,
        timeoutMs: CREATE_TIMEOUT_MS,
        retry: { ...RETRY_BRIEFLY, attempts: 2 },
        run: async (context) => {
          const made = await Promise.all(
            (context.memory.placements ?? []).map(async (placement) => {
              const lvolUuid = await createReplica(context, placement);
              return [placement.replica, lvolUuid] as const;
            }),
          );
          return { lvolUuids: Object.fromEntries(made) };
        },
        undo: (context) => deleteNewReplicas(deps, context),
      },
      finishNewStep(deps),
    ],
    result: volumeResult,
  };
}

async function place(deps: SagaDeps, context: Context): Promise<readonly Placement[]> {
  const { image = null, sizeBytes } = context.input;
  if (image === null) return placeNewVolume(deps, context);
  const record = await context.client.request('internal.image.record', { image, fresh: true });
  assertImageFits(record, sizeBytes);
  return placeNewVolume(deps, context, originOf(record));
}

async function fetchFor(context: Context, sites: readonly Placement[]): Promise<void> {
  const { image = null } = context.input;
  if (image === null) return;
  const disks = sites.map(({ node, disk }) => ({ node, disk }));
  const request = { image, disks, volume: deriveVolumeId(context.operation) };
  await fetchImage(context, request).catch(async (error: unknown) => {
    const isLastTry = context.attempt >= FETCH_IMAGE_RETRY.attempts;
    if (!isLastTry && hasCode(error, 'IMAGE_NOT_READY')) await throwIfBeingDeleted(context, image);
    throw error;
  });
}

/** A deletion that has begun finds this volume on record and is refused, or had looked before and ends: in a moment it is known. */
async function throwIfBeingDeleted({ client }: Context, image: string): Promise<void> {
  const { name, state, operation } = await client.request('internal.image.record', {
    ...{ image, fresh: true },
  });
  if (state === 'ready') {
    throw lariatError(
      'OPERATION_IN_PROGRESS',
      `Image '${name}' was being deleted, which was refused just now; try again.`,
      { image },
    );
  }
  // Without an operation it was found so by a recovery: nobody goes on with it before that is asked for.
  if (state !== 'deleting' || operation === null) return;
  throw lariatError(
    'OPERATION_IN_PROGRESS',
    `Image '${name}' is being deleted by operation ${operation}, which may be refused yet; wait for it and try again.`,
    { image, operation },
  );
}

async function createReplica(context: Context, placement: Placement): Promise<string> {
  const { replica, node, disk } = placement;
  const { image = null, sizeBytes } = context.input;
  const standsOn: Partial<ImageCopyReference> = image === null ? {} : { image };
  const volume = deriveVolumeId(context.operation);
  const input = { replica, volume, disk, sizeBytes, ...standsOn };
  const options = { key: replica, timeoutMs: COMMAND_TIMEOUT_MS };
  try {
    return (await context.command(node, 'replica.create', input, options)).lvolUuid;
  } catch (error) {
    if (!hasCode(error, 'IMAGE_COPY_NOT_FOUND', 'IMAGE_COPY_NOT_SEALED')) throw error;
  }
  // Given up since it was fetched: this service was away for longer than a copy that nothing uses is kept.
  await fetchFor(context, [placement]);
  const again = { ...options, key: `${replica}/again` };
  return (await context.command(node, 'replica.create', input, again)).lvolUuid;
}
