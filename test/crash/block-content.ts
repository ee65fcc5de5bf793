export const BLOCK_BYTES = 4096;

const MAGIC = 0x1a51a700;
const WORD_BYTES = 16;

/** What one write leaves in one block. Sequence 0 is a block that was never written, or made zero. */
export interface BlockVersion {
  readonly sequence: number;
  readonly isZero: boolean;
}

/** Bytes that say in each of their words where they belong and which write they are of: a torn or misplaced block shows. */
export function blockContent(block: number, { sequence, isZero }: BlockVersion): Buffer {
  const data = Buffer.alloc(BLOCK_BYTES);
  if (isZero) return data;
  for (let at = 0; at < BLOCK_BYTES; at += WORD_BYTES) {
    data.writeUInt32LE(MAGIC, at);
    data.writeUInt32LE(block, at + 4);
    data.writeUInt32LE(sequence, at + 8);
    data.writeUInt32LE(at, at + 12);
  }
  return data;
}

/** What a block's bytes are, for the message of a check that failed. */
export function describeContent(data: Buffer): string {
  if (data.every((byte) => byte === 0)) return 'zeros';
  const words = Array.from({ length: BLOCK_BYTES / WORD_BYTES }, (_, index) => index * WORD_BYTES);
  const whole = words.filter((at) => data.readUInt32LE(at) === MAGIC);
  if (whole.length === 0) return `bytes of no write (${data.toString('hex', 0, 8)}…)`;
  const writes = new Set(
    whole.map((at) => `write ${data.readUInt32LE(at + 8)} of block ${data.readUInt32LE(at + 4)}`),
  );
  const torn = whole.length < words.length ? ', and bytes of no write' : '';
  return `${[...writes].join(' and ')}${torn}`;
}
