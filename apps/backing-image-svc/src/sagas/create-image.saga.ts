import {
  type ImageFormatName,
  type ImageRecord,
  type ImageSourceRecord,
  type ImageView,
  NO_CHECKSUMS,
  lariatError,
  toImageView,
} from '@lariat/contracts';
import { type Json, deriveImageId } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  type StepContext,
  commandWhileLive,
  whileWanted,
} from '@lariat/saga';
import type { ImageContent } from '../domain/apply-change.js';
import type { ChosenDisk } from '../domain/choose-disk.js';
import { describeUrl } from '../domain/source-url.js';
import { borrowStep, returnStep } from './borrowed-source.js';
import { importStep } from './import-step.js';
import {
  type ImageSagaDeps,
  READ_TIMEOUT_MS,
  RECORD_TIMEOUT_MS,
  changeIfThere,
  nowIso,
  readyCopy,
  whileFollowed,
} from './saga-deps.js';
import type { VolumeReading } from './volume-readings.js';

export interface CreateImageInput {
  readonly name: string;
  /** With what may be a secret in a url: the import that is taken up needs it. */
  readonly source: ImageSourceRecord;
  readonly checksum: string | null;
  readonly format: ImageFormatName | null;
  readonly minimumCopies: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface CreateImageMemory {
  /** How often a snapshot was asked for: one try has one operation. */
  readonly lendTurn: number;
  /** Id of the snapshot that a volume's content is read from. */
  readonly snapshot: string;
  /** Exports that may be open. */
  readonly readings: readonly VolumeReading[];
  readonly content: ImageContent;
  /** The copy that has the content: a run that was taken for dead may have begun another one. */
  readonly place: ChosenDisk;
  readonly lvolUuid: string;
  readonly view: ImageView;
}

export type CreateImageContext = StepContext<CreateImageInput, CreateImageMemory>;

const SEAL_TIMEOUT_MS = 120_000;

/** Imports an image onto one disk. A failure stays on record, without a copy; a cancelled import leaves nothing. */
export function createImageSaga(
  deps: ImageSagaDeps,
): SagaDefinition<CreateImageInput, CreateImageMemory> {
  const { images } = deps;
  return {
    kind: 'image.create',
    subjectOf: ({ name }) => `image-name/${name}`,
    steps: [
      {
        name: 'claim',
        waitsFor: 'the name to be reserved',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { operation, input, actor } = context;
          await takeName(deps, input.name, deriveImageId(operation), actor);
          await images.create(newRecord(deps, operation, input), actor);
        },
        undo: (context) => keepFailure(deps, context),
      },
      borrowStep,
      importStep(deps),
      {
        name: 'seal',
        waitsFor: 'the copy to be sealed',
        timeoutMs: SEAL_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { image, node, disk } = placeOf(context);
          const copy = { image, disk };
          const { lvolUuid } = await commandWhileLive(context, node, 'image.seal-copy', copy, {
            key: disk,
          });
          return { lvolUuid };
        },
      },
      {
        name: 'verify',
        waitsFor: 'the copy to be read back',
        timeoutMs: READ_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { image, node, disk } = placeOf(context);
          const input = { image, disk, reread: true };
          const reading = whileFollowed(context, () =>
            commandWhileLive(context, node, 'image.digest-copy', input, { key: disk }),
          );
          const { sha256 } = await whileWanted(context, reading);
          const expected = context.memory.content?.checksums.rootSha256 ?? null;
          if (sha256 !== expected) throw copyDiffers(node, disk, expected, sha256);
        },
      },
      {
        name: 'finish',
        waitsFor: 'the image to be recorded as ready',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          const { operation, memory, actor } = context;
          const { content, lvolUuid } = memory;
          if (content === undefined || lvolUuid === undefined)
            throw new Error('the import is not in the journal');
          const place = placeOf(context);
          const at = nowIso(deps);
          const record = await images.change(
            deriveImageId(operation),
            ({ operation: holder, copies }) => {
              // Recorded by an earlier run whose own journal entry was lost.
              if (holder !== operation) return [];
              return [
                { type: 'set-content', content },
                ...copies
                  .filter(({ disk }) => disk !== place.disk)
                  .map(({ disk }) => ({ type: 'drop-copy', disk, reason: 'left over' }) as const),
                { type: 'put-copy', copy: readyCopy(place, lvolUuid, at) },
                { type: 'move', event: 'ready' },
                { type: 'release', operation },
              ];
            },
            actor,
          );
          // Known to its node before anybody is told that it is ready.
          await images.tell(record);
          return { view: toImageView(record) };
        },
      },
      // The last: what is behind a step that goes on until it is done can't be undone.
      returnStep,
    ],
    result: (_input, { view }) => (view ?? null) as Json,
  };
}

/** The image has the name after the call. One that an import has failed under gives it up. */
async function takeName(
  { images }: ImageSagaDeps,
  name: string,
  image: string,
  actor: string,
): Promise<void> {
  for (;;) {
    const holder = await images.names.reserve(name, image);
    if (holder === image) return;
    const there = await images.read(holder);
    if (there?.state !== 'failed' || there.operation !== null) {
      throw lariatError(
        'IMAGE_NAME_TAKEN',
        `An image named '${name}' exists already; choose another name, or delete it.`,
        { name, image: holder },
      );
    }
    await images.remove(holder, 'replaced', actor);
    await images.names.release(name, holder);
  }
}

function newRecord(
  deps: ImageSagaDeps,
  operation: string,
  { name, source, format, minimumCopies, labels }: CreateImageInput,
): ImageRecord {
  return {
    id: deriveImageId(operation),
    name,
    state: 'pending',
    ...{ sizeBytes: 0, contentBytes: 0, dataClusters: 0 },
    format,
    source: withoutSecrets(source),
    checksums: NO_CHECKSUMS,
    copies: [],
    minimumCopies,
    operation,
    failure: null,
    createdAt: nowIso(deps),
    labels,
  };
}

function withoutSecrets(source: ImageSourceRecord): ImageSourceRecord {
  if ('url' in source) return { url: describeUrl(new URL(source.url)) };
  if ('file' in source || 'volume' in source) return source;
  const { fileName, sizeBytes } = source.upload;
  return { upload: { fileName, sizeBytes } };
}

/** What is left of an import that is not to be: the reason, on record, unless it was cancelled. */
async function keepFailure(
  deps: ImageSagaDeps,
  { operation, input, actor, undoneFor }: CreateImageContext,
): Promise<void> {
  const image = deriveImageId(operation);
  if (undoneFor === null || undoneFor.code === 'OPERATION_CANCELLED') {
    await deps.images.remove(image, 'import-cancelled', actor);
    await deps.images.names.release(input.name, image);
    return;
  }
  const failed = { type: 'fail', failure: undoneFor } as const;
  await changeIfThere(deps, image, [failed, { type: 'release', operation }], actor);
}

function placeOf({
  operation,
  memory,
}: CreateImageContext): ChosenDisk & { readonly image: string } {
  if (memory.place === undefined) throw new Error('the place of the copy is not in the journal');
  return { image: deriveImageId(operation), ...memory.place };
}

export function copyDiffers(
  node: string,
  disk: string,
  expected: string | null | undefined,
  found: string,
): Error {
  return lariatError(
    'IMAGE_COPY_CORRUPT',
    `The copy on disk ${disk} of node '${node}' does not read as it was written: its digest is ${found}, and not ${expected}. Check that disk, and try again.`,
    { node, disk, expected: expected ?? null, found },
  );
}
