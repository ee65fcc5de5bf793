import {
  type ImageRecord,
  type ImageSourceRecord,
  type ImageState,
  hasCode,
  imageImportHostNqn,
  lariatError,
} from '@lariat/contracts';
import { deriveImageId } from '@lariat/kernel';
import { RETRY_BRIEFLY, type SagaStep, commandWhileLive } from '@lariat/saga';
import { imageNotReady } from '../domain/apply-change.js';
import type { ImageEvent } from '../domain/image-machine.js';
import { type ChosenDisk, findDisk, noRoomForImage } from '../domain/choose-disk.js';
import type { ImportProgress } from '../domain/progress.js';
import type { DraftAccess, Import, ImportSource } from '../ports/importer.port.js';
import type {
  CreateImageContext,
  CreateImageInput,
  CreateImageMemory,
} from './create-image.saga.js';
import { type ImageSagaDeps, deleteCopies, newCopy } from './saga-deps.js';
import { closeReadings, readVolume } from './volume-readings.js';

/** Longer than anybody waits for a download; what trickles ends by its own rules. */
const IMPORT_TIMEOUT_MS = 24 * 3_600_000;
const CREATE_COPY_TIMEOUT_MS = 30_000;
/** Nodes that may turn out to be gone, or full, before the import fails. */
const PLACES = 3;
/** A little more than the journal takes one in. */
const TELL_EVERY_MS = 1_050;
const IMPORTING: readonly ImageState[] = ['pending', 'downloading', 'converting'];
const ELSEWHERE = ['NODE_NOT_READY', 'NO_CAPACITY', 'DISK_FULL', 'DISK_NOT_FOUND'] as const;

/** From the source into a draft on a disk; a repetition begins at the first byte, on a fresh draft. */
export function importStep(deps: ImageSagaDeps): SagaStep<CreateImageInput, CreateImageMemory> {
  return {
    name: 'import',
    waitsFor: ({ source }) => describe(source),
    timeoutMs: IMPORT_TIMEOUT_MS,
    // A download that breaks is resumed within the run, many times; what is still broken then is told.
    retry: {
      ...RETRY_BRIEFLY,
      attempts: 3,
      final: ['IMAGE_SOURCE_UNAVAILABLE', 'IMAGE_SOURCE_TOO_SLOW'],
    },
    run: async (context) => {
      const { source } = context.input;
      if (!('volume' in source)) return importOnce(deps, context, source);
      return readVolume(context, source.volume, (namespace) =>
        importOnce(deps, context, { namespace }),
      );
    },
    undo: async (context) => {
      await closeReadings(context, context.memory.readings ?? []);
      await dropAll(deps, context, 'the import is undone');
    },
  };
}

async function importOnce(
  deps: ImageSagaDeps,
  context: CreateImageContext,
  source: ImportSource,
): Promise<Pick<CreateImageMemory, 'content' | 'place'>> {
  const { images, importer, stopping } = deps;
  const { operation, input, actor, cancellation } = context;
  const image = deriveImageId(operation);
  await dropAll(deps, context, 'the import begins anew');
  await images.change(image, [{ type: 'move', event: 'restart' }], actor);
  const states = new StateWrites(async (event) => {
    await images.change(image, [{ type: 'move', event }], actor);
  });
  const { checksum, format } = input;
  let place: ChosenDisk | undefined;
  const content = await whileTold(context, (tell) =>
    importer.import({
      ...{ source, checksum, format },
      serveFile: fileServing(context),
      openDraft: async (sizeBytes) => {
        const draft = await openDraft(deps, context, image, sizeBytes);
        place = { node: draft.node, disk: draft.disk };
        return draft;
      },
      signal: AbortSignal.any([cancellation, whenStopping(stopping)]),
      onProgress: (progress) => {
        tell(progress);
        states.reach(progress.phase === 'downloading' ? 'download' : 'convert');
      },
    }),
  );
  await states.settled();
  await images.change(image, [{ type: 'move', event: 'verify' }], actor);
  if (place === undefined) throw new Error('the import wrote no copy');
  return { content, place };
}

function describe(source: ImageSourceRecord): string {
  if ('url' in source) return `what ${new URL(source.url).host} sends`;
  if ('volume' in source) return `the content of ${source.volume.name}`;
  if ('upload' in source) return `the upload of ${source.upload.fileName}`;
  const { node, path } = source.file;
  return node === null ? `file ${path}` : `file ${path} of node '${node}'`;
}

/** Each request is a command of its own: what the agent has answered before is not what it does now. */
function fileServing(context: CreateImageContext): Import['serveFile'] {
  let requests = 0;
  return (node, input, timeoutMs) => {
    requests += 1;
    const key = `${input.token}/${requests}`;
    return commandWhileLive(context, node, 'image.serve-file', input, { key, timeoutMs });
  };
}

function whenStopping(stopping: AbortSignal): AbortSignal {
  const stop = new AbortController();
  const end = (): void =>
    stop.abort(
      lariatError('SERVICE_SHUTTING_DOWN', 'The image service ends; another one imports anew.'),
    );
  if (stopping.aborted) end();
  else stopping.addEventListener('abort', end, { once: true });
  return stop.signal;
}

async function dropAll(
  deps: ImageSagaDeps,
  context: CreateImageContext,
  reason: string,
): Promise<void> {
  const image = deriveImageId(context.operation);
  const copies = (await deps.images.read(image))?.copies ?? [];
  await deleteCopies(deps, context, image, copies, reason);
}

/** The record's state follows the import, one write after the other, and only when it changes. */
class StateWrites {
  private last: ImageEvent | null = null;
  private writing: Promise<void> = Promise.resolve();

  constructor(private readonly write: (event: ImageEvent) => Promise<void>) {}

  reach(event: ImageEvent): void {
    if (event === this.last) return;
    this.last = event;
    this.writing = this.writing.then(() => this.write(event));
    // Told by `settled`; an import that fails before has its own reason.
    this.writing.catch(() => undefined);
  }

  settled(): Promise<void> {
    return this.writing;
  }
}

/** Tells the newest progress once a second: what is told between two writes would be lost when nothing follows it. */
async function whileTold<T>(
  context: CreateImageContext,
  work: (tell: (progress: ImportProgress) => void) => Promise<T>,
): Promise<T> {
  let untold: ImportProgress | undefined;
  const timer = setInterval(() => {
    if (untold === undefined) return;
    const { doneBytes, totalBytes, bytesPerSecond: perSecond, etaMs } = untold;
    untold = undefined;
    const timeLeft = etaMs === null ? {} : { timeLeftMs: etaMs };
    context.progress(doneBytes, totalBytes ?? 0, 'bytes', { perSecond, ...timeLeft });
  }, TELL_EVERY_MS);
  try {
    return await work((progress) => {
      untold = progress;
    });
  } finally {
    clearInterval(timer);
  }
}

/** Chooses the disk with the most room, puts the copy on record (invariant 1), and has the node make its draft. */
async function openDraft(
  deps: ImageSagaDeps,
  context: CreateImageContext,
  image: string,
  sizeBytes: number,
): Promise<DraftAccess> {
  const hostNqn = imageImportHostNqn(context.operation);
  const tried: string[] = [];
  for (;;) {
    const { node, disk } = await choose(context, sizeBytes, tried);
    tried.push(disk);
    await deps.images.change(
      image,
      (current) => {
        assertImporting(current, context.operation);
        return [
          { type: 'set-size', sizeBytes },
          { type: 'put-copy', copy: newCopy(node, disk) },
        ];
      },
      context.actor,
    );
    try {
      const place = { image, node, disk };
      await context.client.request('internal.placement.promise-copy', { ...place, sizeBytes });
      const { endpoint } = await commandWhileLive(
        context,
        node,
        'image.create-copy',
        { image, disk, sizeBytes, hostNqn },
        { key: disk, timeoutMs: CREATE_COPY_TIMEOUT_MS },
      );
      if (endpoint === null) throw new Error(`node ${node} did not export the draft`);
      return { endpoint, hostNqn, node, disk };
    } catch (error) {
      if (!hasCode(error, ...ELSEWHERE) || tried.length >= PLACES) throw error;
      context.log.info('another disk is tried for an image', { image, node, disk, error });
      await deleteCopies(deps, context, image, [{ node, disk }], 'its node could not make it');
    }
  }
}

/** Another instance may have taken the import up, and ended it, while this one was frozen. */
function assertImporting(record: ImageRecord, operation: string): void {
  if (record.operation !== operation || !IMPORTING.includes(record.state))
    throw imageNotReady(record, `is ${record.state}: its import is over`);
}

async function choose(
  { client }: CreateImageContext,
  needBytes: number,
  exceptDisks: readonly string[],
): Promise<ChosenDisk> {
  const { nodes } = await client.request('node.list', {});
  const choice = { nodes, needBytes, exceptDisks, exceptNodes: [] };
  const found = findDisk(choice);
  if (found !== undefined) return found;
  const { copies: idle } = await client.request('internal.image.idle-copies', {});
  const freed = findDisk({ ...choice, idle });
  if (freed === undefined) throw noRoomForImage(needBytes);
  return freed;
}
