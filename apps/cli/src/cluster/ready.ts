import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { delay } from '@lariat/kernel';

const POLL_MS = 20;
const CHUNK_BYTES = 64 * 1024;

/** What a process that started says when it serves: one JSON line on stdout with `"ready": true`. */
export interface ReadyLine {
  readonly ready: true;
  readonly [field: string]: unknown;
}

export function parseReadyLine(line: string): ReadyLine | undefined {
  if (!line.startsWith('{') || !line.includes('"ready"')) return undefined;
  try {
    const value = JSON.parse(line) as { ready?: unknown };
    return value.ready === true ? (value as ReadyLine) : undefined;
  } catch {
    // A log line that only looks like it.
    return undefined;
  }
}

/** Splits what a file gains into lines; keeps an unfinished one for the next time. */
export class LineTail {
  private rest = '';
  private offset: number;

  constructor(
    private readonly path: string,
    offset: number,
  ) {
    this.offset = offset;
  }

  read(): readonly string[] {
    const fd = openSync(this.path, 'r');
    try {
      const buffer = Buffer.alloc(CHUNK_BYTES);
      while (fstatSync(fd).size > this.offset) {
        const count = readSync(fd, buffer, 0, buffer.length, this.offset);
        if (count === 0) break;
        this.offset += count;
        this.rest += buffer.toString('latin1', 0, count);
      }
    } finally {
      closeSync(fd);
    }
    const lines = this.rest.split('\n');
    this.rest = lines.pop() ?? '';
    return lines;
  }
}

/**
 * The ready line of a process whose stdout is the log file. Read from the file and not from a pipe: a child
 * must outlive its supervisor, and a pipe would break under it.
 */
export function waitForReadyLine(
  logPath: string,
  offset: number,
  signal: AbortSignal,
): Promise<ReadyLine | undefined> {
  return waitForLine(logPath, offset, signal, parseReadyLine);
}

/** What the first line says that says something; undefined when `signal` aborts first. */
export async function waitForLine<T>(
  logPath: string,
  offset: number,
  signal: AbortSignal,
  parse: (line: string) => T | undefined,
): Promise<T | undefined> {
  const tail = new LineTail(logPath, offset);
  while (!signal.aborted) {
    for (const line of tail.read()) {
      const found = parse(line);
      if (found !== undefined) return found;
    }
    await delay(POLL_MS, signal);
  }
  return undefined;
}
