import { lariatError } from '@lariat/contracts';
import { roundUpToCluster } from '@lariat/kernel';
import { passContent, type PassedContent } from '../../app/content-pass.js';
import { type Piece, sparsePieces, streamPieces } from '../../app/content-pieces.js';
import { verifyChecksum } from '../../domain/checksum.js';
import { ImageFormat } from '../../domain/image-format.js';
import { ImportPhase } from '../../domain/progress.js';
import { tooLarge } from '../../domain/qcow2-header.js';
import type { ContentSink } from '../../ports/content-sink.port.js';
import { SparseFile } from '../scratch/sparse-file.js';
import type { FileFacts, ImportContext, ImportStream } from './import-context.js';
import type { ImportResult } from './import-types.js';
import { writeOut } from './write-out.js';

/** Imports content that comes as it is, one byte after the other. */
export function importRaw(stream: ImportStream, context: ImportContext): Promise<ImportResult> {
  const sizeBytes = stream.reader.totalBytes;
  return sizeBytes === null
    ? throughScratch(stream, context)
    : straight(stream, sizeBytes, context);
}

/** The size is known: each cluster goes to its place at once. */
async function straight(
  stream: ImportStream,
  sizeBytes: number,
  context: ImportContext,
): Promise<ImportResult> {
  const { options, resources, openSink } = context;
  if (sizeBytes > options.maxSizeBytes) throw tooLarge(sizeBytes, options.maxSizeBytes);
  const sink = resources.add(await openSink(roundUpToCluster(sizeBytes)));
  const passed = await take(stream, sink, context);
  if (passed.sizeBytes !== sizeBytes) {
    throw lariatError(
      'IMAGE_TRUNCATED',
      `the source told of ${sizeBytes} bytes and gave ${passed.sizeBytes}`,
    );
  }
  const result = await finish(stream, passed, context);
  await sink.finish();
  return result;
}

/** The size shows at the end alone: what is not zeros is kept until then. */
async function throughScratch(stream: ImportStream, context: ImportContext): Promise<ImportResult> {
  const { options, resources, scratch } = context;
  const path = scratch.file('content.raw');
  const spool = resources.add(await SparseFile.create(path, options.maxSizeBytes));
  const passed = await take(stream, spool, context);
  const result = await finish(stream, passed, context);
  const dataBytes = spool.map.dataBytes;
  context.progress.begin(ImportPhase.writing, dataBytes);
  const pieces = (signal: AbortSignal): AsyncIterable<Piece> =>
    sparsePieces(spool, spool.map, passed.sizeBytes, context.pool, signal);
  await writeOut({ pieces, sizeBytes: passed.sizeBytes, sums: null, digests: null }, context);
  return result;
}

function take(
  stream: ImportStream,
  sink: Pick<ContentSink, 'writeCluster' | 'close'>,
  context: ImportContext,
): Promise<PassedContent> {
  const { options, pool, hashing, digests, resources, progress } = context;
  return passContent({
    pieces: (signal) => streamPieces(stream.first, stream.reader, pool, signal),
    ...{ pool, sink, hashing, digests },
    sums: stream.sums,
    signal: resources.signal,
    onBytes: (doneBytes) => {
      if (doneBytes > options.maxSizeBytes) throw tooLarge(doneBytes, options.maxSizeBytes);
      // Of what is packed, the file's bytes are counted where they are read.
      if (stream.packing === null) progress.at(doneBytes);
    },
  });
}

/** All bytes have passed: the sums, and whether they are the right ones. */
async function finish(
  stream: ImportStream,
  { sizeBytes, dataClusters }: PassedContent,
  { options, digests }: ImportContext,
): Promise<ImportResult> {
  const { sums, paddedSums } = await stream.sums.finish();
  const file: FileFacts = (await stream.packing?.file) ?? { sizeBytes, sums };
  if (options.checksum !== null) verifyChecksum(options.checksum, file.sums);
  const deviceBytes = roundUpToCluster(sizeBytes);
  return {
    format: ImageFormat.raw,
    compression: stream.packing?.compression ?? null,
    file,
    content: { sizeBytes, sums },
    device: {
      sizeBytes: deviceBytes,
      sums: paddedSums,
      rootDigest: await digests.finish(deviceBytes),
      dataClusters,
    },
  };
}
