import { mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MIB } from '@lariat/kernel';
import type { FilesPort } from '../../ports/files.port.js';

/** Partition tables, file systems, RAID and LVM labels all leave marks in the first or the last MiB. */
const LABEL_AREA_BYTES = MIB;

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

  async looksBlank(path: string): Promise<boolean> {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const first = await readUpTo(file, 0);
      const last = await readUpTo(file, Math.max(0, size - LABEL_AREA_BYTES));
      return isZero(first) && isZero(last);
    } finally {
      await file.close();
    }
  }

  async remove(path: string): Promise<void> {
    await rm(path, { force: true });
  }
}

async function readUpTo(file: Awaited<ReturnType<typeof open>>, position: number): Promise<Buffer> {
  const buffer = Buffer.alloc(LABEL_AREA_BYTES);
  const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
  return buffer.subarray(0, bytesRead);
}

function isZero(bytes: Buffer): boolean {
  return bytes.equals(Buffer.alloc(bytes.length));
}
