import { lariatError } from '@lariat/contracts';
import { type FilledSlot, fillSlot } from '../../app/content-pieces.js';
import { type Compression, detectCompression } from '../../domain/image-format.js';
import { ImportPhase } from '../../domain/progress.js';
import type { ByteReader } from '../../ports/byte-reader.port.js';
import { unpack } from '../unpack/unpack.js';
import { feed } from './feed.js';
import type { FileFacts, ImportContext, ImportStream } from './import-context.js';

/** Begins to read a file, and to unpack it where its first bytes say that it is packed. */
export async function openStream(
  reader: ByteReader,
  context: ImportContext,
): Promise<ImportStream> {
  const { hashing, options, progress } = context;
  progress.begin(ImportPhase.downloading, reader.totalBytes);
  const first = await fillFirst(reader, context, 'the source is empty; check it');
  const compression = options.isContent ? null : detectCompression(headOf(first));
  return compression === null
    ? { first, reader, packing: null, sums: hashing.open() }
    : openPacked(compression, first, reader, context);
}

export const headOf = ({ slot, lengthBytes }: FilledSlot): Buffer =>
  slot.bytes.subarray(0, lengthBytes);

async function openPacked(
  compression: Compression,
  packed: FilledSlot,
  reader: ByteReader,
  context: ImportContext,
): Promise<ImportStream> {
  const { environment, scratch, resources, hashing } = context;
  const { signal } = resources;
  const task = { sandbox: environment.sandbox, folder: scratch.path, signal };
  const unpacker = resources.add(await unpack(compression, task));
  const file = takeFile(packed, reader, unpacker.input, context);
  // Whoever reads the output would wait for ever for what does not come.
  file.catch((reason: unknown) => resources.fail(reason));
  const first = await fillFirst(unpacker.output, context, 'the packed file holds nothing');
  const packing = { compression, file };
  return { first, reader: unpacker.output, packing, sums: hashing.open() };
}

async function takeFile(
  first: FilledSlot,
  reader: ByteReader,
  into: Parameters<typeof feed>[0]['into'],
  context: ImportContext,
): Promise<FileFacts> {
  const { hashing, pool, progress, resources } = context;
  const sums = hashing.open();
  const { signal } = resources;
  const onBytes = (doneBytes: number): void => progress.at(doneBytes);
  const { sizeBytes } = await feed({ first, reader, into, sums, pool, signal, onBytes });
  return { sizeBytes, sums: (await sums.finish()).sums };
}

async function fillFirst(
  reader: ByteReader,
  { pool, resources }: ImportContext,
  whenEmpty: string,
): Promise<FilledSlot> {
  const slot = await pool.take(resources.signal);
  const lengthBytes = await fillSlot(reader, slot);
  if (lengthBytes === 0) throw lariatError('IMAGE_EMPTY', whenEmpty);
  return { slot, lengthBytes };
}
