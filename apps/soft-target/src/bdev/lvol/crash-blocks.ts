export const BLOCK_SIZE = 4096;
export const CLUSTER_SIZE = 64 * 1024;
export const LVOLS = 3;
/** 4 MiB an lvol. */
export const LVOL_BLOCKS = 1024;

/** One write of crash-writer.ts. */
export interface Ack {
  readonly kind: 'begun' | 'acknowledged';
  readonly lvol: number;
  readonly block: number;
  readonly count: number;
  readonly sequence: number;
  readonly isZero: boolean;
}

/** Blocks that say in each of their words which write they are of, and where they belong. */
export function blockOf({ lvol, block, count, sequence }: Omit<Ack, 'kind' | 'isZero'>): Buffer {
  const data = Buffer.alloc(count * BLOCK_SIZE);
  for (let at = 0; at < data.length; at += 16) {
    data.writeUInt32LE(0x5eed0000 + lvol, at);
    data.writeUInt32LE(block + Math.floor(at / BLOCK_SIZE), at + 4);
    data.writeUInt32LE(sequence, at + 8);
    data.writeUInt32LE(at % BLOCK_SIZE, at + 12);
  }
  return data;
}

/** The sequence number of a whole block, 0 for zeros; undefined for anything else. */
export function sequenceOf(data: Buffer, lvol: number, block: number): number | undefined {
  const sequence = data.readUInt32LE(8);
  if (data.equals(Buffer.alloc(BLOCK_SIZE))) return 0;
  return data.equals(blockOf({ lvol, block, count: 1, sequence })) ? sequence : undefined;
}
