import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleOf, notBuilt } from '@lariat/kernel';
import { readBootId } from '../bdev/lvol/boot-id.js';
import { LvolMetadata, type RawMetadata } from '../bdev/lvol/lvol-metadata.js';

/** Reads the metadata in a store's folder and changes nothing there. */
export type ReadMetadata = (folder: string) => Promise<RawMetadata>;

/**
 * Works on a copy: to open metadata after a power cut is to roll it back to what was flushed, as the target's next start
 * does, and a check changes nothing.
 */
export const readMetadata: ReadMetadata = async (folder) => {
  const copy = await mkdtemp(join(tmpdir(), 'lariat-check-'));
  try {
    await copyFile(join(folder, 'data.mdb'), join(copy, 'data.mdb'));
    const metadata = new LvolMetadata(copy);
    try {
      await metadata.recover(readBootId());
      return metadata.readRaw();
    } finally {
      await metadata.close();
    }
  } finally {
    await rm(copy, { recursive: true });
  }
};

/** What read-metadata-child.ts sends. */
export type ChildAnswer = { readonly content: RawMetadata } | { readonly error: string };

/** In a process of its own: a damaged page can end lmdb's with a signal, and the check is to tell of it. */
export const readMetadataApart: ReadMetadata = async (folder) => {
  const program = bundleOf(fileURLToPath(new URL('./read-metadata-child.js', import.meta.url)));
  if (!existsSync(program)) throw notBuilt(program);
  const child = fork(program, [folder], { serialization: 'advanced' });
  let answer: ChildAnswer | undefined;
  child.on('message', (message) => (answer = message as ChildAnswer));
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  if (answer === undefined) {
    throw new Error(`whoever reads it ends with ${signal ?? code}: its pages are damaged`);
  }
  if ('error' in answer) throw new Error(answer.error);
  const { content } = answer;
  // Buffers come as plain arrays of bytes.
  const extents = content.extents.map(({ key, value }) => ({ key, value: Buffer.from(value) }));
  return { ...content, extents };
};
