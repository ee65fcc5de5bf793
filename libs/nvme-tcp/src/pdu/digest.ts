import { createRequire } from 'node:module';

type Crc32c = (data: Buffer, previous: number) => number;

const require = createRequire(import.meta.url);
let crc32c: Crc32c | undefined;

/** At the first digest: finding the native library takes some 20 ms, which a process without digests need not wait. */
function load(): Crc32c {
  crc32c ??= (require('@node-rs/crc32') as { readonly crc32c: Crc32c }).crc32c;
  return crc32c;
}

/**
 * CRC32C (Castagnoli, reflected, inverted) of `data`, as both digests use it; `previous` continues an
 * earlier call. Sent least significant byte first.
 */
export function crc32cOf(data: Buffer, previous = 0): number {
  return load()(data, previous) >>> 0;
}
