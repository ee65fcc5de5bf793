import { crc32c } from '@node-rs/crc32';

/**
 * CRC32C (Castagnoli, reflected, inverted) of `data`, as both digests use it; `previous` continues an
 * earlier call. Sent least significant byte first.
 */
export function crc32cOf(data: Buffer, previous = 0): number {
  return crc32c(data, previous) >>> 0;
}
