import { createHash, randomBytes } from 'node:crypto';
import type { BlockDevice } from '@lariat/nvme-tcp';

const CHUNK_BYTES = 1024 * 1024;

/** Bytes that no other write has. */
export function pattern(lengthBytes: number): Buffer {
  return randomBytes(lengthBytes);
}

/** Writes in steps that an NVMe command carries. */
export async function writeAt(
  device: BlockDevice,
  offsetBytes: number,
  data: Buffer,
): Promise<void> {
  for (let at = 0; at < data.length; at += CHUNK_BYTES) {
    await device.write(offsetBytes + at, data.subarray(at, at + CHUNK_BYTES));
  }
}

export async function readAt(
  device: BlockDevice,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let at = 0; at < lengthBytes; at += CHUNK_BYTES) {
    parts.push(await device.read(offsetBytes + at, Math.min(CHUNK_BYTES, lengthBytes - at)));
  }
  return Buffer.concat(parts);
}

/** sha256 of the whole device. */
export async function checksum(device: BlockDevice): Promise<string> {
  return sha256(await readAt(device, 0, device.sizeBytes));
}

export function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
