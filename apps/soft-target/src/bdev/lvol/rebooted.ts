import { readBootId } from './boot-id.js';

/** Pages 0 and 1 of lmdb's file are its metas. */
const METAS_BYTES = 2 * 4096;

/** A store's data.mdb as the next boot of the machine finds it, for tests: with another boot's id in all its marks. */
export function rebooted(image: Buffer): Buffer {
  const changed = Buffer.from(image);
  const id = readBootId();
  // lmdb's own, in each meta page.
  const mark = Buffer.alloc(8);
  mark.writeBigInt64LE(BigInt(`0x${id.slice(0, 8)}`));
  const metas = changed.subarray(0, METAS_BYTES);
  for (let at = metas.indexOf(mark); at >= 0; at = metas.indexOf(mark)) {
    metas[at] = (metas[at] ?? 0) ^ 0xff;
  }
  // Ours, of the process that wrote last.
  for (let at = changed.indexOf(id); at >= 0; at = changed.indexOf(id)) {
    changed.write('another-boot', at);
  }
  return changed;
}
