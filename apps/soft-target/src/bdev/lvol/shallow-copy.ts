import { RpcError } from '../../rpc/rpc-error.js';
import { BdevClaim, type Bdev, type BdevRegistry } from '../bdev.js';
import { isOwned } from './cluster-table.js';
import { asRpcError, checkIdle, checkPresent } from './lvol-checks.js';
import type { LvolStore } from './lvol-store.js';
import type { Lvol } from './lvol.js';

/** Clusters on their way at a time: enough to hide the latency of a destination behind a network. */
const CLUSTERS_IN_FLIGHT = 4;

export interface ShallowCopyStatus {
  readonly totalClusters: number;
  copiedClusters: number;
  error: string | undefined;
  done: boolean;
}

/** Copies of lvols to other bdevs that run in the background, by their operation ids. */
export class ShallowCopies {
  private readonly running = new Map<number, ShallowCopyStatus>();
  private lastId = 0;

  constructor(private readonly registry: BdevRegistry) {}

  /**
   * Writes the clusters that the lvol has of its own, and no others, to the same places of `destination`.
   * Throws when the destination can't be claimed; what else is wrong shows in the status, as in SPDK.
   */
  start(store: LvolStore, source: Lvol, destination: Bdev): number {
    this.lastId += 1;
    const operationId = this.lastId;
    const user = `shallow copy ${operationId}`;
    if (this.registry.claimOf(destination) !== undefined) throw RpcError.errno('EPERM');
    this.registry.claim(destination, user, BdevClaim.exclusiveWrite);
    const entries = [...source.table.entries()];
    const status: ShallowCopyStatus = {
      totalClusters: entries.length,
      copiedClusters: 0,
      error: undefined,
      done: false,
    };
    this.running.set(operationId, status);
    void copy(store, source, destination, entries, status)
      .catch((error: unknown) => {
        const reason = asRpcError(error);
        status.error = reason instanceof Error ? reason.message : String(reason);
      })
      .finally(() => {
        this.registry.release(destination, user);
        status.done = true;
      });
    return operationId;
  }

  /** Forgets an operation that has ended once its end has been told. */
  check(operationId: number): ShallowCopyStatus {
    const status = this.running.get(operationId);
    if (status === undefined) throw RpcError.errno('ENODEV');
    if (status.done) this.running.delete(operationId);
    return status;
  }
}

async function copy(
  store: LvolStore,
  source: Lvol,
  destination: Bdev,
  entries: readonly (readonly [cluster: number, entry: number])[],
  status: ShallowCopyStatus,
): Promise<void> {
  await store.exclusively(async () => {
    checkPresent(store, source);
    if (!source.isReadOnly) throw RpcError.errno('EPERM');
    checkDestination(store, source, destination);
    checkIdle(source);
    source.isBusy = true;
  });
  try {
    const queue = entries.values();
    const worker = async (): Promise<void> => {
      for (const [cluster, entry] of queue) {
        await copyCluster(store, destination, cluster, entry);
        status.copiedClusters += 1;
      }
    };
    await Promise.all(Array.from({ length: CLUSTERS_IN_FLIGHT }, worker));
    // What is told to be copied is going to be counted on.
    await destination.flush();
  } finally {
    source.isBusy = false;
  }
}

async function copyCluster(
  store: LvolStore,
  destination: Bdev,
  cluster: number,
  entry: number,
): Promise<void> {
  const size = store.clusterSizeBytes;
  if (!isOwned(entry)) {
    await destination.writeZeroes(cluster * size, size);
    return;
  }
  await destination.write(cluster * size, await store.io.readDiskCluster(entry));
}

function checkDestination(store: LvolStore, source: Lvol, destination: Bdev): void {
  const size = store.clusterSizeBytes;
  const fits = destination.sizeBytes >= source.sizeClusters * size;
  if (!fits || size % destination.blockSizeBytes !== 0) throw RpcError.errno('EINVAL');
}
