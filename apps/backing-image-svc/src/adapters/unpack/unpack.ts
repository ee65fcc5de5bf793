import type { Writable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { lariatError } from '@lariat/contracts';
import { KIB, MIB } from '@lariat/kernel';
import { cancelled } from '../../domain/cancelled.js';
import { Compression } from '../../domain/image-format.js';
import type { ByteReader } from '../../ports/byte-reader.port.js';
import { type Sandbox, Tool } from '../child/sandbox.js';
import { type ToolEnd, ToolProcess } from '../child/tool-process.js';
import { StreamReader } from './stream-reader.js';

/** Packed bytes go in at `input`, and come out of `output`. */
export interface Unpacker {
  readonly input: Writable;
  readonly output: ByteReader;
  /** Ends it early, or after its end; nothing is left then. */
  close(): Promise<void>;
}

export interface UnpackTask {
  readonly sandbox: Sandbox;
  readonly folder: string;
  readonly signal: AbortSignal;
}

export async function unpack(compression: Compression, task: UnpackTask): Promise<Unpacker> {
  switch (compression) {
    case 'gzip':
      return gunzip(task.signal);
    case 'xz':
      return throughTool(Tool.xz, task, ['-dc', '-q', `--memlimit-decompress=${WINDOW_BYTES}`]);
    case 'zstd':
      return throughTool(Tool.zstd, task, ['-dcq', `--memory=${WINDOW_BYTES / MIB}MB`]);
  }
}

/** What xz -9 (65 MiB) and zstd --long (128 MiB) need; a file that asks for more asks for harm. */
const WINDOW_BYTES = 160 * MIB;
/** Beside the window: the program, its libraries, and the address space of its threads' stacks. */
const TOOL_MEMORY_BYTES = WINDOW_BYTES + 256 * MIB;
/** A month: the source's own limits of rate and size bound it, and a limit there must be. */
const CPU_SECONDS = 30 * 24 * 3600;

function gunzip(signal: AbortSignal): Unpacker {
  const stream = createGunzip({ chunkSize: 256 * KIB });
  const stop = (): void => void stream.destroy(cancelled(signal));
  signal.addEventListener('abort', stop);
  const output = new StreamReader(stream, (reason) => {
    if (signal.aborted) return cancelled(signal);
    const { code, message } = reason as NodeJS.ErrnoException;
    return damaged(code === 'Z_BUF_ERROR', Compression.gzip, message);
  });
  return {
    input: stream,
    output,
    close: async () => {
      signal.removeEventListener('abort', stop);
      await output.close();
    },
  };
}

async function throughTool(
  tool: 'xz' | 'zstd',
  task: UnpackTask,
  args: readonly string[],
): Promise<Unpacker> {
  const { sandbox, folder, signal } = task;
  const limits = { cpuSeconds: CPU_SECONDS, fileBytes: 0, memoryBytes: TOOL_MEMORY_BYTES };
  const process = await ToolProcess.start(sandbox, {
    tool,
    args,
    folder,
    limits,
    deadlineMs: null,
    signal,
  });
  const stream = new StreamReader(process.stdout, (reason) =>
    signal.aborted ? cancelled(signal) : (reason as Error),
  );
  return {
    input: process.stdin,
    output: {
      totalBytes: null,
      read: async (into) => {
        const length = await stream.read(into);
        // The end of the output says nothing of how it came about; the exit code does.
        if (length === 0) checkEnd(tool, await process.done, signal);
        return length;
      },
      close: () => stream.close(),
    },
    close: async () => {
      process.kill();
      await stream.close();
      await process.done.catch(() => undefined);
    },
  };
}

function checkEnd(tool: 'xz' | 'zstd', end: ToolEnd, signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal);
  if (end.code === 0) return;
  const text = end.stderr.split('\n').at(-1) ?? '';
  if (/memory usage limit|too much memory|window.*(large|size)|frame requires/i.test(end.stderr)) {
    throw lariatError(
      'IMAGE_FORMAT_UNSUPPORTED',
      `the image needs more than ${WINDOW_BYTES / MIB} MiB of memory to be unpacked; pack it with a smaller window (xz -9 or zstd --long=27 at most)`,
    );
  }
  throw damaged(/unexpected end|premature end|truncated/i.test(end.stderr), tool, text);
}

function damaged(isShort: boolean, compression: string, detail: string): Error {
  const text = detail.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
  return isShort
    ? lariatError('IMAGE_TRUNCATED', `the ${compression} file ends too early (${text})`)
    : lariatError('IMAGE_CORRUPT', `the ${compression} file is damaged (${text})`);
}
