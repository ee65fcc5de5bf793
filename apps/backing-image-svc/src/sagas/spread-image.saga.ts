import {
  type ImageCopyRecord,
  type ImageRecord,
  type RecordPosition,
  hasCode,
  lariatError,
  positionOf,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_KNOWN,
  type SagaDefinition,
  type StepContext,
  commandWhileLive,
  whileWanted,
} from '@lariat/saga';
import { imageNotReady } from '../domain/apply-change.js';
import { copyDiffers } from './create-image.saga.js';
import { endReads, fetchContent } from './fetch-content.js';
import {
  type ImageSagaDeps,
  READ_TIMEOUT_MS,
  RECORD_TIMEOUT_MS,
  deleteCopies,
  newCopy,
  nowIso,
  readyCopy,
  whileFollowed,
} from './saga-deps.js';

export interface SpreadInput {
  readonly image: string;
  readonly node: string;
  readonly disk: string;
}

export interface SpreadMemory {
  /** There was a ready one. */
  readonly isThere: boolean;
  readonly sizeBytes: number;
  readonly rootSha256: string;
  /** Where the record stands that has the copy as one to be made. */
  readonly record: RecordPosition;
  /** The copies that may read-export to this one: each was asked to, or is about to be. */
  readonly sources: readonly SourceCopy[];
  /** Clusters that are here. */
  readonly fetched: number;
  readonly lvolUuid: string;
}

export type SourceCopy = Pick<ImageCopyRecord, 'node' | 'disk'>;
export type SpreadContext = StepContext<SpreadInput, SpreadMemory>;

const CREATE_TIMEOUT_MS = 60_000;

/** One more copy of an image, on a given disk, from any that is ready. */
export function spreadImageSaga(deps: ImageSagaDeps): SagaDefinition<SpreadInput, SpreadMemory> {
  const { images } = deps;
  return {
    kind: 'image.spread',
    subjectOf: ({ image, disk }) => `image-copy/${image}/${disk}`,
    steps: [
      {
        name: 'note',
        waitsFor: 'the copy to be put on record',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async ({ input, actor }) => {
          const { image, node, disk } = input;
          const record = await images.change(
            image,
            (current) => {
              assertSpreadable(current, disk);
              return readyOn(current, disk) === undefined
                ? [{ type: 'put-copy', copy: newCopy(node, disk) }]
                : [];
            },
            actor,
          );
          const isThere = readyOn(record, disk) !== undefined;
          // Who has missed this copy would not ask for it in a recovery, and take a deleted image for whole.
          if (!isThere) await images.tell(record);
          return {
            isThere,
            sizeBytes: record.sizeBytes,
            rootSha256: record.checksums.rootSha256 ?? '',
            record: positionOf(record),
          };
        },
      },
      {
        name: 'create-draft',
        waitsFor: ({ node }) => `node ${node} to make room for the copy`,
        timeoutMs: CREATE_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          if (context.memory.isThere !== true) await makeDraft(context);
        },
        undo: async (context) => {
          if (context.memory.isThere === true) return;
          const { image, node, disk } = context.input;
          await deleteCopies(deps, context, image, [{ node, disk }], 'the spread is undone');
        },
      },
      {
        name: 'fetch',
        waitsFor: ({ node }) => `the content to be fetched to node ${node}`,
        timeoutMs: READ_TIMEOUT_MS,
        retry: { ...RETRY_BRIEFLY, attempts: 3 },
        run: async (context) => {
          if (context.memory.isThere !== true) await fetchContent(deps, context);
        },
        undo: endReads,
      },
      {
        name: 'seal',
        waitsFor: ({ node }) => `node ${node} to seal the copy and read it back`,
        timeoutMs: READ_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          if (context.memory.isThere === true) return {};
          await endReads(context);
          return { lvolUuid: await sealAndCheck(context) };
        },
      },
      {
        name: 'finish',
        waitsFor: 'the copy to be recorded as ready',
        timeoutMs: RECORD_TIMEOUT_MS,
        // Refused when the image was deleted meanwhile: then the copy goes.
        retry: RETRY_UNTIL_KNOWN,
        run: async ({ input, memory, actor }) => {
          const { image, disk } = input;
          if (memory.isThere === true) return;
          const copy = readyCopy(input, memory.lvolUuid ?? '', nowIso(deps));
          await images.change(
            image,
            (current) => {
              assertReady(current);
              return readyOn(current, disk) === undefined ? [{ type: 'put-copy', copy }] : [];
            },
            actor,
          );
        },
      },
    ],
    result: ({ image, node, disk }): Json => ({ image, node, disk }),
  };
}

const readyOn = ({ copies }: ImageRecord, disk: string): ImageCopyRecord | undefined =>
  copies.find((copy) => copy.disk === disk && copy.state === 'ready');

function assertReady(record: ImageRecord): void {
  if (record.state !== 'ready') throw imageNotReady(record, `is ${record.state}`);
}

function assertSpreadable(record: ImageRecord, disk: string): void {
  assertReady(record);
  const there = record.copies.find((copy) => copy.disk === disk);
  if (there?.state === 'corrupt' || there?.state === 'deleting') {
    throw lariatError(
      'IMAGE_COPY_FAILED',
      `Image '${record.name}' has a copy on disk ${disk} that is ${there.state}; it is replaced when that is gone: see 'lariat image get ${record.name}'.`,
      { image: record.id, disk, state: there.state },
    );
  }
}

async function makeDraft(context: SpreadContext): Promise<void> {
  const { image, node, disk } = context.input;
  const { sizeBytes = 0 } = context.memory;
  const place = { image, node, disk };
  await context.client.request('internal.placement.promise-copy', { ...place, sizeBytes });
  const input = { image, disk, sizeBytes, hostNqn: null };
  const create = (key: string): Promise<unknown> =>
    commandWhileLive(context, node, 'image.create-copy', input, { key, timeoutMs: 20_000 });
  try {
    await create('first');
  } catch (error) {
    if (!hasCode(error, 'IMAGE_COPY_EXISTS')) throw error;
    // No record wants it: it is left from an operation that its node could not be told to undo.
    const { record } = context.memory;
    const stray = { image, disk, ...(record === undefined ? {} : { record }) };
    await commandWhileLive(context, node, 'image.delete-copy', stray, { key: disk });
    await create('second');
  }
}

async function sealAndCheck(context: SpreadContext): Promise<string> {
  const { image, node, disk } = context.input;
  const copy = { image, disk };
  const key = disk;
  const { lvolUuid } = await commandWhileLive(context, node, 'image.seal-copy', copy, { key });
  const reading = whileFollowed(context, () =>
    commandWhileLive(context, node, 'image.digest-copy', { ...copy, reread: true }, { key }),
  );
  const { sha256 } = await whileWanted(context, reading);
  const { rootSha256 } = context.memory;
  if (sha256 !== rootSha256) throw copyDiffers(node, disk, rootSha256, sha256);
  return lvolUuid;
}
