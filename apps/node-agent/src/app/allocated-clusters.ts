import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { MAX_ALLOCATED_CLUSTERS } from '@lariat/spdk';
import type { TargetPort } from '../ports/target.port.js';

const METHOD = 'lariat_lvol_get_allocated_clusters';

/** Which clusters there are to read, in order. The others read as zeros. */
export interface ClustersToRead {
  readonly count: number;
  readonly clusters: () => Iterable<number>;
}

/**
 * Where an lvol whose content never changes may have other bytes than zeros: by its target's own record of what is
 * written, which is also what reads of it follow. Everywhere, where the target has no such answer (stock SPDK).
 */
export async function clustersToRead(
  target: TargetPort,
  lvolUuid: string,
  clusters: number,
): Promise<ClustersToRead> {
  if (!target.supports(METHOD)) return everyOne(clusters);
  const pages: Buffer[] = [];
  let count = 0;
  for (let first = 0; first < clusters; first += MAX_ALLOCATED_CLUSTERS) {
    const wanted = Math.min(MAX_ALLOCATED_CLUSTERS, clusters - first);
    const page = await target.spdk().lvol.getAllocatedClusters(lvolUuid, first, wanted);
    // A store that was made elsewhere may have other clusters; a short answer is of another lvol than is read.
    if (page.clusterSizeBytes !== CLUSTER_SIZE_BYTES || page.clusters !== wanted)
      return everyOne(clusters);
    for (let at = 0; at < wanted; at += 1) count += bitOf(page.bits, at);
    pages.push(page.bits);
  }
  return { count, clusters: () => setIn(pages, clusters) };
}

const bitOf = (bits: Buffer, at: number): number => ((bits[at >> 3] ?? 0) >> (at & 7)) & 1;

function everyOne(clusters: number): ClustersToRead {
  return { count: clusters, clusters: () => Array.from({ length: clusters }, (_, at) => at) };
}

function* setIn(pages: readonly Buffer[], clusters: number): Generator<number> {
  for (let cluster = 0; cluster < clusters; cluster += 1) {
    const page = pages[Math.floor(cluster / MAX_ALLOCATED_CLUSTERS)];
    if (page !== undefined && bitOf(page, cluster % MAX_ALLOCATED_CLUSTERS) === 1) yield cluster;
  }
}
