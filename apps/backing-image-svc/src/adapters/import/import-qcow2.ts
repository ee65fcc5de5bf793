import { lariatError } from '@lariat/contracts';
import { formatBytes, MIB, roundUpToCluster } from '@lariat/kernel';
import { passContent } from '../../app/content-pass.js';
import { extentPieces, type Piece, sparsePieces, streamPieces } from '../../app/content-pieces.js';
import { verifyChecksum } from '../../domain/checksum.js';
import { ClusterMap } from '../../domain/cluster-map.js';
import { sumsCoverHoles } from '../../domain/hole-policy.js';
import { ImageFormat } from '../../domain/image-format.js';
import { ImportPhase } from '../../domain/progress.js';
import { ExtentTally } from '../../domain/qemu-map.js';
import {
  isDirty,
  lostTables,
  parseQcow2Header,
  type Qcow2Header,
  refuseLostTables,
  refuseUnfit,
  tooLarge,
} from '../../domain/qcow2-header.js';
import { checkImage, convertImage, listExtents, type QemuImgTask } from '../child/qemu-img.js';
import { findTool, Tool } from '../child/sandbox.js';
import { SparseFile } from '../scratch/sparse-file.js';
import type { FileFacts, ImportContext, ImportStream } from './import-context.js';
import type { ImportResult } from './import-types.js';
import { headOf } from './open-stream.js';
import { writeOut } from './write-out.js';

const IMAGE_NAME = 'image.qcow2';
const RAW_NAME = 'content.raw';
/** Tables and header beside the content: 64-bit entries for clusters of at least 512 bytes, twice, and the small rest. */
const METADATA_SHARE = 1 / 16;
const METADATA_BASE_BYTES = 64 * MIB;

/** Imports a qcow2 image. The file is kept first: only a tool reads it, and only what its header does not rule out. */
export async function importQcow2(
  stream: ImportStream,
  context: ImportContext,
): Promise<ImportResult> {
  const { options, environment, hashing, scratch, digests, progress, resources } = context;
  const header = parseQcow2Header(headOf(stream.first));
  refuseUnfit(header, options.maxSizeBytes);
  // Before the download, which can be long.
  await findTool(Tool.qemuImg, environment.sandbox.path);
  const { spool, fileBytes, file } = await keepFile(stream, context);
  if (options.checksum !== null) verifyChecksum(options.checksum, file.sums);

  const sizeBytes = Number(header.virtualSizeBytes);
  progress.begin(ImportPhase.converting, null);
  const task: QemuImgTask = {
    sandbox: environment.sandbox,
    folder: scratch.path,
    imageName: IMAGE_NAME,
    fileBytes,
    virtualSizeBytes: sizeBytes,
    signal: resources.signal,
  };
  await checkTables(header, spool, fileBytes);
  // A dirty image's reference counts are out of date by design; its tables are not.
  if (!isDirty(header)) await checkImage(task);
  const map = ClusterMap.ofSize(sizeBytes);
  const tally = new ExtentTally(fileBytes, sizeBytes);
  for await (const { start, length, data } of listExtents(task, tally))
    if (data) map.markBytes(start, length);
  const pieces = tally.isReadable
    ? inPlace(spool, task, context)
    : await converted(task, map, context);

  progress.begin(ImportPhase.writing, map.dataBytes);
  const hasSums = sumsCoverHoles(environment.holes, sizeBytes, map.dataBytes);
  const sums = hasSums ? hashing.open() : null;
  const { dataClusters } = await writeOut({ pieces, sizeBytes, sums, digests }, context);
  const finished = sums === null ? null : await sums.finish();
  const deviceBytes = roundUpToCluster(sizeBytes);
  return {
    format: ImageFormat.qcow2,
    compression: stream.packing?.compression ?? null,
    file,
    content: { sizeBytes, sums: finished?.sums ?? null },
    device: {
      sizeBytes: deviceBytes,
      sums: finished?.paddedSums ?? null,
      rootDigest: await digests.finish(deviceBytes),
      dataClusters,
    },
  };
}

/** Keeps the file in the scratch folder, where nobody changes it between a look at it and its use. */
async function keepFile(
  stream: ImportStream,
  context: ImportContext,
): Promise<{ spool: SparseFile; fileBytes: number; file: FileFacts }> {
  const { options, pool, hashing, scratch, progress, resources } = context;
  const maxBytes =
    options.maxSizeBytes + options.maxSizeBytes * METADATA_SHARE + METADATA_BASE_BYTES;
  const path = scratch.file(IMAGE_NAME);
  const spool = resources.add(await SparseFile.create(path, maxBytes));
  const { sizeBytes } = await passContent({
    pieces: (signal) => streamPieces(stream.first, stream.reader, pool, signal),
    ...{ pool, hashing, sink: spool, digests: null },
    // Of what is packed, the sums of the image between are of no use to anybody.
    sums: stream.packing === null ? stream.sums : null,
    signal: resources.signal,
    onBytes: (doneBytes) => {
      if (doneBytes > maxBytes) throw tooLarge(doneBytes, maxBytes);
      if (stream.packing === null) progress.at(doneBytes);
    },
  });
  await spool.setSize(sizeBytes);
  await scratch.handOver(path);
  const file = (await stream.packing?.file) ?? {
    sizeBytes,
    sums: (await stream.sums.finish()).sums,
  };
  return { spool, fileBytes: sizeBytes, file };
}

async function checkTables(
  { l1OffsetBytes, l1Bytes }: Qcow2Header,
  spool: SparseFile,
  fileBytes: number,
): Promise<void> {
  if (l1OffsetBytes + BigInt(l1Bytes) > BigInt(fileBytes)) throw lostTables(fileBytes);
  const page = Buffer.alloc(Math.min(l1Bytes, MIB));
  for (let at = 0; at < l1Bytes; at += page.length) {
    const entries = page.subarray(0, Math.min(page.length, l1Bytes - at));
    await spool.readAt(entries, Number(l1OffsetBytes) + at);
    refuseLostTables(entries, fileBytes);
  }
}

type Pieces = (signal: AbortSignal) => AsyncIterable<Piece>;

/** The data stands in the image as it is: it is read there, and no second copy of it made. */
function inPlace(spool: SparseFile, task: QemuImgTask, { pool }: ImportContext): Pieces {
  const { fileBytes, virtualSizeBytes } = task;
  return (signal) => {
    const extents = listExtents(task, new ExtentTally(fileBytes, virtualSizeBytes), null);
    return extentPieces(extents, spool, virtualSizeBytes, pool, signal);
  };
}

/** The data is compressed, or in very small pieces: qemu-img makes a sparse file of it. */
async function converted(
  task: QemuImgTask,
  map: ClusterMap,
  { scratch, progress, resources, pool }: ImportContext,
): Promise<Pieces> {
  const { dataBytes } = map;
  const freeBytes = await scratch.freeBytes();
  if (dataBytes > freeBytes) {
    throw lariatError(
      'IMAGE_SCRATCH_FULL',
      `the image needs ${formatBytes(dataBytes)} for temporary files, and the disk with ${scratch.path} has ${formatBytes(freeBytes)} left; free space there, or name a folder on a larger disk with LARIAT_IMAGE_SCRATCH`,
      { folder: scratch.path, neededBytes: dataBytes, freeBytes },
    );
  }
  progress.begin(ImportPhase.converting, dataBytes);
  await convertImage(task, RAW_NAME, dataBytes, (fraction) => progress.at(fraction * dataBytes));
  const from = resources.add(await SparseFile.open(scratch.file(RAW_NAME)));
  return (signal) => sparsePieces(from, map, task.virtualSizeBytes, pool, signal);
}
