import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, MIB, toLariatError } from '@lariat/kernel';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { Sandbox } from '../adapters/child/sandbox.js';
import { FileSource } from '../adapters/file/file-source.js';
import { Workbenches } from '../adapters/hash/workbenches.js';
import { importImage } from '../adapters/import/import-image.js';
import type {
  ImportEnvironment,
  ImportOptions,
  ImportResult,
} from '../adapters/import/import-types.js';
import { DEFAULT_HOLE_POLICY } from '../domain/hole-policy.js';
import type { ImportProgress } from '../domain/progress.js';
import { padded, rootDigestOf, run, sumsOf } from './images.js';
import { MemorySink } from './memory-sink.js';

let sandbox: Sandbox;
/** Shared by all tests, as by all imports: what one leaves in it must not harm the next. */
const workbenches = new Workbenches();
let folder = '';
beforeAll(async () => {
  sandbox = await Sandbox.detect(process.env['PATH'] ?? '/usr/bin:/bin');
});
afterAll(() => workbenches.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-import-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The folder of the test that runs. */
export const lab = {
  get folder(): string {
    return folder;
  },
  get scratchParent(): string {
    return join(folder, 'scratch');
  },
  get digestsPath(): string {
    return join(folder, 'digests');
  },
  image: (name: string): string => join(folder, name),
  /** Runs a program in it. */
  run: (program: string, ...args: readonly string[]): void => run(folder, program, ...args),
};

export interface Imported {
  readonly sink: MemorySink;
  readonly progress: ImportProgress[];
  readonly result: Promise<ImportResult>;
}

export function optionsOf(more: Partial<ImportOptions> = {}): ImportOptions {
  return {
    checksum: null,
    format: null,
    isContent: false,
    maxSizeBytes: 1024 * MIB,
    digestsPath: lab.digestsPath,
    ...more,
  };
}

export const environmentOf = (): ImportEnvironment => ({
  scratchParent: lab.scratchParent,
  sandbox,
  holes: DEFAULT_HOLE_POLICY,
  workbenches,
});

/** A clock that goes on with each look: whatever may be told of an import's progress is told. */
export function restlessClock(): Clock {
  let nowMs = 0;
  const monotonicMs = (): number => (nowMs += 1000);
  return { nowMs: monotonicMs, monotonicMs };
}

export function importing(
  name: string,
  more: Partial<ImportOptions> = {},
  signal: AbortSignal = new AbortController().signal,
  onProgress: (progress: ImportProgress) => void = () => undefined,
  clock?: Clock,
): Imported {
  const sink = new MemorySink();
  const progress: ImportProgress[] = [];
  const result = importImage({
    source: new FileSource(lab.image(name), { maxBytes: 2048 * MIB, folders: ['/'] }),
    options: optionsOf(more),
    environment: environmentOf(),
    openSink: sink.open,
    signal,
    onProgress: (told) => {
      progress.push(told);
      onProgress(told);
    },
    ...(clock === undefined ? {} : { clock }),
  });
  return { sink, progress, result };
}

/** Processes that work in this test's scratch folder. */
function toolsAtWork(): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(lab.scratchParent);
    } catch {
      // It has ended.
      return false;
    }
  });
}

export function expectNothingLeft(): void {
  expect(readdirSync(lab.scratchParent)).toEqual([]);
  expect(toolsAtWork()).toEqual([]);
}

export async function codeOf({ result }: Imported): Promise<string> {
  return result.then(
    () => 'done',
    (reason: unknown) => toLariatError(reason).code,
  );
}

/** The code that the import fails with; it leaves nothing. */
export async function failure(name: string, more: Partial<ImportOptions> = {}): Promise<string> {
  const imported = importing(name, more);
  const code = await codeOf(imported);
  expectNothingLeft();
  expect(readdirSync(lab.folder)).not.toContain('digests');
  expect(imported.sink.isFinished).toBe(false);
  return code;
}

/** The import gives this content and its sums, of a file that has sums of its own. */
export async function imported(
  name: string,
  content: Buffer,
  more: Partial<ImportOptions> = {},
): Promise<ImportResult> {
  const { sink, progress, result: importingNow } = importing(name, more);
  const result = await importingNow;
  const device = padded(content);
  expect(sink.content.equals(device)).toBe(true);
  expect(sink.isFinished && sink.isClosed).toBe(true);
  expect(result.content).toEqual({ sizeBytes: content.length, sums: sumsOf(content) });
  expect(result.device).toEqual({
    sizeBytes: device.length,
    sums: sumsOf(device),
    rootDigest: rootDigestOf(device),
    dataClusters: sink.written.size,
  });
  const file = await readFile(lab.image(name));
  expect(result.file).toEqual({ sizeBytes: file.length, sums: sumsOf(file) });
  // Zeros are never sent.
  for (let at = 0; at < device.length; at += MIB)
    expect(sink.written.has(at / MIB)).toBe(
      !device.subarray(at, at + MIB).equals(Buffer.alloc(MIB)),
    );
  expect(progress.length).toBeGreaterThan(0);
  expectNothingLeft();
  return result;
}
