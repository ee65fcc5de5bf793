import type { LvolStore } from './lvol-store.js';
import type { Lvol } from './lvol.js';

/** 16 GiB of clusters of 1 MiB: a long chain of snapshots must not hold up everything else for long. */
export const MAX_CLUSTERS_PER_ANSWER = 16_384;

/**
 * A bit a cluster, the lowest of the first byte for `firstCluster`: set where the lvol, or what lies beneath it, has
 * bytes. By the very rule that reads follow, so that what is not set reads as zeros.
 */
export function allocatedBits(
  { io }: Pick<LvolStore, 'io'>,
  lvol: Lvol,
  firstCluster: number,
  clusters: number,
): Buffer {
  const bits = Buffer.alloc(Math.ceil(clusters / 8));
  for (let at = 0; at < clusters; at += 1) {
    if (io.locate(lvol, firstCluster + at).kind === 'zeros') continue;
    bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
  }
  return bits;
}
