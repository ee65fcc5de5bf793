import { INITIAL, type RegisterValue } from '@lariat/testing';

export const BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;

/** Each sector says the value, so that a block made of two writes shows as a value that nobody wrote. */
export function encodeRegister(value: RegisterValue): Buffer {
  const sector = Buffer.alloc(SECTOR_BYTES, `${value};`);
  return Buffer.concat(Array.from({ length: BLOCK_BYTES / SECTOR_BYTES }, () => sector));
}

export function decodeRegister(block: Buffer): RegisterValue {
  const values = new Set<RegisterValue>();
  for (let at = 0; at < BLOCK_BYTES; at += SECTOR_BYTES) {
    const sector = block.subarray(at, at + SECTOR_BYTES);
    const [value = ''] = sector.toString('latin1').split(';', 1);
    if (sector.every((byte) => byte === 0)) values.add(INITIAL);
    else if (sector.equals(Buffer.alloc(SECTOR_BYTES, `${value};`))) values.add(value);
    else values.add(`bytes of no write (${sector.toString('hex', 0, 8)}…)`);
  }
  return [...values].join(' and ');
}
