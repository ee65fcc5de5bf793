import { constants } from 'node:fs';
import { mkdir, open, readFile, realpath, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { identifyContent, LABEL_AREA_BYTES, lvolStoreUuidOf } from '@lariat/kernel';
import type { FilesPort } from '../../ports/files.port.js';

const SECTOR_SIZE_BYTES = 512;
const PROBE_BYTES = 4096;

export class NodeFiles implements FilesPort {
  async kindOf(path: string): Promise<'absent' | 'file' | 'device' | 'other'> {
    try {
      const info = await stat(path);
      if (info.isFile()) return 'file';
      return info.isBlockDevice() ? 'device' : 'other';
    } catch (reason) {
      if ((reason as NodeJS.ErrnoException).code === 'ENOENT') return 'absent';
      throw reason;
    }
  }

  async identityOf(path: string): Promise<string> {
    const { dev, ino, rdev } = await stat(path, { bigint: true });
    return rdev === 0n ? `${dev}:${ino}` : `device ${rdev}`;
  }

  async probe(path: string): Promise<void> {
    const file = await open(path, 'r');
    try {
      const sizeBytes = await sizeOf(file, path);
      const buffer = Buffer.alloc(PROBE_BYTES);
      await file.read(buffer, 0, buffer.length, 0);
      await file.read(buffer, 0, buffer.length, Math.max(0, sizeBytes - PROBE_BYTES));
    } finally {
      await file.close();
    }
  }

  async makeSparse(path: string, sizeBytes: number): Promise<void> {
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, 'wx', 0o600);
    try {
      await file.truncate(sizeBytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async contentOf(path: string): Promise<readonly string[]> {
    const file = await open(path, 'r');
    try {
      const sizeBytes = await sizeOf(file, path);
      const first = await readUpTo(file, 0);
      const last = await readUpTo(file, Math.max(0, sizeBytes - LABEL_AREA_BYTES));
      return identifyContent({ first, last });
    } finally {
      await file.close();
    }
  }

  async storeUuidOf(path: string): Promise<string | undefined> {
    const file = await open(path, 'r');
    try {
      return lvolStoreUuidOf(await readUpTo(file, 0));
    } finally {
      await file.close();
    }
  }

  async clearContent(path: string): Promise<void> {
    // Linux refuses O_EXCL, without O_CREAT, for a block device that is in use; for a file it means nothing.
    const file = await open(path, constants.O_RDWR | constants.O_EXCL);
    try {
      const sizeBytes = await sizeOf(file, path);
      const zeros = Buffer.alloc(Math.min(sizeBytes, LABEL_AREA_BYTES));
      await file.write(zeros, 0, zeros.length, sizeBytes - zeros.length);
      await file.write(zeros, 0, zeros.length, 0);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async remove(path: string): Promise<void> {
    await rm(path, { force: true });
  }
}

/** stat gives 0 for a block device, and Node has no ioctl. */
async function sizeOf(file: FileHandle, path: string): Promise<number> {
  const info = await file.stat();
  if (!info.isBlockDevice()) return info.size;
  const device = basename(await realpath(path));
  return Number(await readFile(`/sys/class/block/${device}/size`, 'utf8')) * SECTOR_SIZE_BYTES;
}

async function readUpTo(file: FileHandle, position: number): Promise<Buffer> {
  const buffer = Buffer.alloc(LABEL_AREA_BYTES);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
  return buffer.subarray(0, bytesRead);
}
