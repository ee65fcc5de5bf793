import { createInterface } from 'node:readline';
import { lariatError } from '@lariat/contracts';
import { GIB, MIB } from '@lariat/kernel';
import { cancelled } from '../../domain/cancelled.js';
import { scratchFull } from '../scratch/scratch-full.js';
import { type Extent, type ExtentTally, parseExtentLine } from '../../domain/qemu-map.js';
import { QEMU_MEMORY_BYTES, type Sandbox, Tool } from './sandbox.js';
import { type ToolEnd, ToolProcess } from './tool-process.js';

export interface QemuImgTask {
  readonly sandbox: Sandbox;
  /** The scratch folder, and the names of the image and of what is made of it within. */
  readonly folder: string;
  readonly imageName: string;
  readonly fileBytes: number;
  readonly virtualSizeBytes: number;
  readonly signal: AbortSignal;
}

/** Slower than any disk; what takes longer is not slow but lost. */
const LEAST_BYTES_PER_SECOND = 8 * MIB;
const BASE_SECONDS = 60;
/** Metadata is read with a cluster's worth of entries at once, so 1 TiB of virtual size adds little. */
const SECONDS_PER_VIRTUAL_GIB = 0.05;

const metadataSeconds = ({ fileBytes, virtualSizeBytes }: QemuImgTask): number =>
  BASE_SECONDS +
  fileBytes / LEAST_BYTES_PER_SECOND +
  (virtualSizeBytes / GIB) * SECONDS_PER_VIRTUAL_GIB;

function start(
  task: QemuImgTask,
  args: readonly string[],
  limits: { readonly seconds: number; readonly fileBytes: number },
  deadlineMs: number | null = limits.seconds * 1000,
): Promise<ToolProcess> {
  return ToolProcess.start(task.sandbox, {
    tool: Tool.qemuImg,
    args,
    folder: task.folder,
    limits: {
      cpuSeconds: limits.seconds,
      fileBytes: limits.fileBytes,
      memoryBytes: QEMU_MEMORY_BYTES,
    },
    deadlineMs,
    signal: task.signal,
  });
}

/**
 * Looks whether the image's metadata agrees with itself. Without it, what a truncated image has lost reads as zeros,
 * and tables that share clusters give more data than there is.
 */
export async function checkImage(task: QemuImgTask): Promise<void> {
  const args = ['check', '-q', '-f', 'qcow2', task.imageName];
  const process = await start(task, args, { seconds: metadataSeconds(task), fileBytes: 0 });
  process.stdin.end();
  process.stdout.resume();
  const end = await process.done;
  // 3: clusters that nothing refers to, which cost space in the file and harm nobody.
  if (end.code === 0 || end.code === 3) return;
  throw failure(task, 'is damaged', end);
}

/**
 * The extents of an image, in order; refuses one that claims more data than its file can hold. `deadlineMs` is null for
 * a consumer that takes its time with each.
 */
export async function* listExtents(
  task: QemuImgTask,
  tally: ExtentTally,
  deadlineMs: number | null = metadataSeconds(task) * 1000,
): AsyncGenerator<Extent, void, undefined> {
  const args = ['map', '--output=json', '-f', 'qcow2', task.imageName];
  const limits = { seconds: metadataSeconds(task), fileBytes: 0 };
  const process = await start(task, args, limits, deadlineMs);
  process.stdin.end();
  try {
    for await (const line of createInterface({ input: process.stdout })) {
      const extent = parseExtentLine(line);
      if (extent === null) continue;
      tally.add(extent);
      yield extent;
    }
    const end = await process.done;
    if (end.code !== 0) throw failure(task, 'cannot be read', end);
    tally.finish();
  } finally {
    // Also for who stops half-way.
    process.kill();
    await process.done;
  }
}

/** Writes the image's content to a sparse file of its virtual size; `onFraction` is told from 0 to 1. */
export async function convertImage(
  task: QemuImgTask,
  rawName: string,
  dataBytes: number,
  onFraction: (fraction: number) => void,
): Promise<void> {
  // Explicit formats: nothing is guessed from content. `unsafe` leaves out the flush, of a file that goes anyway.
  const formats = ['-f', 'qcow2', '-O', 'raw', '-t', 'unsafe'];
  const args = ['convert', '-p', ...formats, task.imageName, rawName];
  const seconds = metadataSeconds(task) + dataBytes / LEAST_BYTES_PER_SECOND;
  const process = await start(task, args, { seconds, fileBytes: task.virtualSizeBytes + MIB });
  process.stdin.end();
  process.stdout.setEncoding('latin1').on('data', (text: string) => {
    const percent = /\(([\d.]+)\/100%\)[^(]*$/.exec(text)?.[1];
    if (percent !== undefined) onFraction(Number(percent) / 100);
  });
  const end = await process.done;
  if (end.code !== 0) throw failure(task, 'cannot be converted', end);
}

function failure(task: QemuImgTask, what: string, end: ToolEnd): Error {
  if (task.signal.aborted) return cancelled(task.signal);
  const { stderr, killedBy, isLate } = end;
  if (/no space left/i.test(stderr)) return scratchFull(task.folder);
  if (isLate || killedBy === 'SIGXCPU' || killedBy === 'SIGKILL') {
    return lariatError(
      'IMAGE_CONVERSION_FAILED',
      `reading the image took longer than such an image may take; it may have been made to, or the machine is overloaded`,
      { killedBy },
    );
  }
  if (/resource temporarily unavailable|cannot allocate memory|out of memory/i.test(stderr)) {
    return lariatError(
      'IMAGE_CONVERSION_FAILED',
      `reading the image took more memory than it may take, or than there is: ${printable(stderr)}`,
    );
  }
  return lariatError(
    'IMAGE_CORRUPT',
    `the image ${what}: ${printable(stderr) || `qemu-img ended with ${end.code ?? killedBy}`}`,
  );
}

/** The last line, without what could drive a terminal: the text can hold names out of the image. */
const printable = (text: string): string =>
  (text.split('\n').at(-1) ?? '').replace(/[^\x20-\x7e]/g, '?').slice(0, 300);
