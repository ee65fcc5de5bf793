import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { RpcError } from '../../rpc/rpc-error.js';

/** What flock(1) ends with when another open file holds the lock (util-linux and busybox alike). */
const CONFLICT_EXIT_CODE = 1;

/**
 * Opens a disk for writing so that no other process can at the same time, nor a second bdev of this one.
 * Throws EBUSY when one has it, and the error of open(2).
 *
 * Both locks are the kernel's and go with the open file, so that kill -9 leaves nothing behind, and both hold
 * across containers that share the disk:
 * - a block device is opened with O_EXCL, which Linux refuses with EBUSY (without O_CREAT, open(2)) while it or a
 *   part of it is mounted, swapped on, or a member of md, dm or LVM, and which keeps those away in turn. No flock
 *   there: systemd-udevd stops probing a device that is locked so.
 * - a file is locked by flock(2). Node has no call for it, but a flock belongs to the open file and not to the process
 *   that asked: flock(1) locks the descriptor that it inherits, ends, and the lock stays with ours.
 *
 * A name in the abstract socket namespace, as state-dir-lock.ts has, would need no program, but each network
 * namespace has its own, and two containers on one volume are the likeliest mistake. lmdb locks the metadata's
 * folder, not the disk: another target has another folder.
 */
export async function openExclusively(filename: string): Promise<FileHandle> {
  if (process.platform !== 'linux') return open(filename, constants.O_RDWR);
  // Linux passes O_EXCL over for a file that is there.
  const file = await open(filename, constants.O_RDWR | constants.O_EXCL);
  try {
    if ((await file.stat()).isFile()) await lock(file);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function lock(file: FileHandle): Promise<void> {
  const child = spawn('flock', ['-x', '-n', '3'], { stdio: ['ignore', 'ignore', 'pipe', file.fd] });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  let code: unknown;
  try {
    [code] = (await once(child, 'close')) as [unknown];
  } catch (error) {
    throw RpcError.errno(
      'ENOTSUP',
      `flock(1) does not run (${(error as Error).message}): install util-linux; without it no one can tell whether another process has the disk`,
    );
  }
  if (code === CONFLICT_EXIT_CODE) throw RpcError.errno('EBUSY');
  // E.g. ENOLCK on a network file system without locks.
  if (code !== 0) throw RpcError.errno('ENOTSUP', `the disk can't be locked: ${said.trim()}`);
}
