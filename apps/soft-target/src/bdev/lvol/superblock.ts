import { createHash } from 'node:crypto';

/** Bytes at the start of a store's bdev; the rest of its first cluster is unused. */
export const SUPERBLOCK_SIZE_BYTES = 4096;

const MAGIC = Buffer.from('LARIATLVSTORE\0\0\0', 'latin1');
const VERSION = 1;
const VERSION_AT = 16;
const CLUSTER_SIZE_AT = 20;
const UUID_AT = 24;
const DIGEST_AT = 40;
const DIGEST_LENGTH = 32;

/** Says that a bdev holds a store, and which; all else about the store is in its metadata folder. */
export interface Superblock {
  readonly uuid: string;
  readonly clusterSizeBytes: number;
}

export function encodeSuperblock({ uuid, clusterSizeBytes }: Superblock): Buffer {
  const block = Buffer.alloc(SUPERBLOCK_SIZE_BYTES);
  MAGIC.copy(block);
  block.writeUInt32LE(VERSION, VERSION_AT);
  block.writeUInt32LE(clusterSizeBytes, CLUSTER_SIZE_AT);
  block.write(uuid.replaceAll('-', ''), UUID_AT, 'hex');
  digestOf(block).copy(block, DIGEST_AT);
  return block;
}

/** Undefined for anything but a whole superblock of this version. */
export function decodeSuperblock(block: Buffer): Superblock | undefined {
  if (block.length < SUPERBLOCK_SIZE_BYTES || !block.subarray(0, MAGIC.length).equals(MAGIC)) {
    return undefined;
  }
  if (block.readUInt32LE(VERSION_AT) !== VERSION) return undefined;
  if (!digestOf(block).equals(block.subarray(DIGEST_AT, DIGEST_AT + DIGEST_LENGTH))) {
    return undefined;
  }
  const hex = block.toString('hex', UUID_AT, UUID_AT + 16);
  const groups = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return {
    uuid: [...groups, hex.slice(20)].join('-'),
    clusterSizeBytes: block.readUInt32LE(CLUSTER_SIZE_AT),
  };
}

function digestOf(block: Buffer): Buffer {
  return createHash('sha256').update(block.subarray(0, DIGEST_AT)).digest();
}
