import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import type { Sums } from '../domain/checksum.js';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Whether this machine has a program; tests that need one are skipped by name where it is missing. */
export const hasTool = (name: string): boolean =>
  PATH.split(':').some((folder) => existsSync(join(folder, name)));

export function run(folder: string, program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { cwd: folder, stdio: 'pipe', env: { PATH } });
}

const hex = (algorithm: string, data: Buffer): string =>
  createHash(algorithm).update(data).digest('hex');

export const sumsOf = (data: Buffer): Sums => ({
  sha256: hex('sha256', data),
  sha512: hex('sha512', data),
});

/** Zeros up to whole clusters, as a device has them. */
export function padded(content: Buffer): Buffer {
  const over = content.length % CLUSTER_SIZE_BYTES;
  return over === 0 ? content : Buffer.concat([content, Buffer.alloc(CLUSTER_SIZE_BYTES - over)]);
}

/** What a node makes of a device with this content, written out once more, to compare with. */
export function rootDigestOf(device: Buffer): string {
  const root = createHash('sha256').update(`${device.length}:`);
  for (let at = 0; at < device.length; at += CLUSTER_SIZE_BYTES)
    root.update(
      createHash('sha256')
        .update(device.subarray(at, at + CLUSTER_SIZE_BYTES))
        .digest(),
    );
  return root.digest('hex');
}

/** Data and holes of many sizes, down to 4 KiB within a cluster, and whole clusters of zeros. */
export function sparseContent(sizeBytes: number): Buffer {
  const content = Buffer.alloc(sizeBytes);
  const put = (atBytes: number, lengthBytes: number): void => {
    randomBytes(Math.max(0, Math.min(lengthBytes, sizeBytes - atBytes))).copy(content, atBytes);
  };
  for (let at = 0, step = 0; at < sizeBytes; step += 1) {
    const lengthBytes = 4096 * 2 ** (step % 9);
    put(at, lengthBytes);
    at += lengthBytes + 4096 * 2 ** ((step * 5) % 11);
  }
  // The first cluster begins with zeros, and the last one ends with data.
  content.fill(0, 0, 8192);
  put(sizeBytes - 1, 1);
  content[sizeBytes - 1] = 1;
  return content;
}
