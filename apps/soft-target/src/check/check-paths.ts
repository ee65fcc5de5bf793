import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { identifyContent } from '@lariat/kernel';
import { lockStateDir } from '../app/state-dir-lock.js';
import { AioBdev } from '../bdev/aio/aio-bdev.js';
import { readLabelAreas } from '../bdev/lvol/label-areas.js';
import { decodeSuperblock, SUPERBLOCK_SIZE_BYTES } from '../bdev/lvol/superblock.js';
import type { CheckedDisk } from './audit-store.js';
import { checkStore, type StoreCheck, type StoreCheckOptions } from './check-store.js';
import type { Finding } from './finding.js';

/** The check could not be done; nothing is known of the stores. */
export class CheckImpossible extends Error {
  override readonly name = 'CheckImpossible';
}

export interface StoreReport extends StoreCheck {
  readonly uuid: string;
  readonly folder: string;
  /** Null: no disk was given for it, and its size and superblock were not looked at. */
  readonly disk: string | null;
}

export interface DiskReport {
  readonly path: string;
  readonly store: string | null;
  readonly findings: readonly Finding[];
}

export interface CheckReport {
  readonly stores: readonly StoreReport[];
  readonly disks: readonly DiskReport[];
  /** Worth knowing, and nothing wrong. */
  readonly notes: readonly string[];
  readonly errors: number;
  readonly repaired: number;
}

/** A sector: what any disk's size is a multiple of. */
const BLOCK_SIZE_BYTES = 512;
const STORE_FOLDER = /^lvs-([0-9a-f-]{36})(\.unfinished)?$/;

/**
 * Checks the stores in the state folders among `paths`, against the disks among them. Each is locked for as long as it
 * takes; throws CheckImpossible when a target has one of them open, or there is no store to check.
 */
export async function checkPaths(
  paths: readonly string[],
  options: StoreCheckOptions,
): Promise<CheckReport> {
  const close: (() => Promise<void>)[] = [];
  try {
    const folders: string[] = [];
    const disks: CheckedDisk[] = [];
    const reports: DiskReport[] = [];
    for (const path of paths) {
      if (await isFolder(path)) {
        const lock = await orImpossible(path, lockStateDir(path));
        close.push(() => lock.release());
        folders.push(path);
        continue;
      }
      const bdev = await orImpossible(path, openDisk(path));
      close.push(() => bdev.close());
      const disk = await orImpossible(path, examine(bdev, path));
      disks.push(disk);
      reports.push(await reportDisk(bdev, disk, disks));
    }
    return await checkAll(folders, disks, reports, options);
  } finally {
    for (const each of close.toReversed()) await each();
  }
}

async function checkAll(
  folders: readonly string[],
  disks: readonly CheckedDisk[],
  reports: readonly DiskReport[],
  options: StoreCheckOptions,
): Promise<CheckReport> {
  const stores: StoreReport[] = [];
  const notes: string[] = [];
  for (const stateDir of folders) {
    const entries = (await readdir(stateDir)).filter((entry) => STORE_FOLDER.test(entry));
    if (entries.length === 0) {
      throw new CheckImpossible(`${stateDir} holds no lvol store; is it a target's --state-dir?`);
    }
    for (const entry of entries.toSorted()) {
      const [, uuid = '', unfinished] = STORE_FOLDER.exec(basename(entry)) ?? [];
      const folder = join(stateDir, entry);
      if (unfinished !== undefined) {
        notes.push(`${folder} was never finished, or not wholly deleted; the next start clears it`);
        continue;
      }
      const disk = disks.find(({ superblock }) => superblock?.uuid === uuid);
      const check = await checkStore(folder, uuid, disk, options);
      stores.push({ uuid, folder, disk: disk?.path ?? null, ...check });
    }
  }
  if (folders.length === 0) {
    const of = disks.map(({ path, superblock }) => `${path} (store ${superblock?.uuid ?? 'none'})`);
    throw new CheckImpossible(
      `the metadata of ${of.join(', ')} is not on the disk: give the target's --state-dir as well`,
    );
  }
  const known = new Set(stores.map(({ uuid }) => uuid));
  const withMissing = reports.map((report): DiskReport => {
    if (report.store === null || known.has(report.store)) return report;
    const message = `${report.path} is of store ${report.store}, which is in none of the folders`;
    return { ...report, findings: [...report.findings, { kind: 'metadata-missing', message }] };
  });
  const count = (found: readonly { readonly length: number }[]): number =>
    found.reduce((sum, { length }) => sum + length, 0);
  return {
    stores,
    disks: withMissing,
    notes,
    errors: count([...stores, ...withMissing].map(({ findings }) => findings)),
    repaired: count(stores.map(({ repaired }) => repaired)),
  };
}

async function reportDisk(
  bdev: AioBdev,
  { path, superblock }: CheckedDisk,
  disks: readonly CheckedDisk[],
): Promise<DiskReport> {
  if (superblock === undefined) {
    const found = identifyContent(await readLabelAreas(bdev));
    const message = `${path} has no whole superblock of a store; it holds ${found.join(', ') || 'nothing'}`;
    return { path, store: null, findings: [{ kind: 'superblock', message }] };
  }
  const { uuid } = superblock;
  const twin = disks.find((disk) => disk.path !== path && disk.superblock?.uuid === uuid);
  if (twin === undefined) return { path, store: uuid, findings: [] };
  const message = `${path} and ${twin.path} both say that they are of store ${uuid}: one is a copy`;
  return { path, store: uuid, findings: [{ kind: 'superblock', message }] };
}

/** For writing, though nothing is written: so no target can open it meanwhile. */
function openDisk(path: string): Promise<AioBdev> {
  return AioBdev.open({
    name: path,
    filename: path,
    blockSizeBytes: BLOCK_SIZE_BYTES,
    readOnly: false,
    uuid: undefined,
  });
}

async function examine(bdev: AioBdev, path: string): Promise<CheckedDisk> {
  const { sizeBytes } = bdev;
  const superblock =
    sizeBytes < SUPERBLOCK_SIZE_BYTES
      ? undefined
      : decodeSuperblock(await bdev.read(0, SUPERBLOCK_SIZE_BYTES));
  return { path, sizeBytes, superblock };
}

async function isFolder(path: string): Promise<boolean> {
  return (await orImpossible(path, stat(path))).isDirectory();
}

async function orImpossible<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new CheckImpossible(
      `${path}: ${(error as Error).message}; a target that uses it must be stopped first`,
      { cause: error },
    );
  }
}
