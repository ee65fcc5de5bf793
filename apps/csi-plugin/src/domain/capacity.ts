import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';

/** Of a node, what decides how much room there is for volumes. */
export interface NodeRoom {
  readonly disks: readonly { readonly schedulable: boolean; readonly availableBytes: number }[];
}

export interface Capacity {
  /** Of all volumes that may yet be made, with their copies taken off. */
  readonly availableBytes: bigint;
  /** Of the largest one. */
  readonly largestBytes: bigint;
}

const CLUSTER = BigInt(CLUSTER_SIZE_BYTES);
const wholeClusters = (bytes: bigint): bigint => bytes - (bytes % CLUSTER);

/** How much may yet be promised to volumes of so many replicas, each on a node of its own. */
export function capacityOf(nodes: readonly NodeRoom[], replicas: number): Capacity {
  const rooms = nodes.map(({ disks }) =>
    disks.flatMap((disk) => (disk.schedulable ? [BigInt(disk.availableBytes)] : [])),
  );
  const largestDisks = rooms.map((disks) => disks.reduce(maxOf, 0n)).toSorted(descending);
  const totals = rooms.map((disks) => disks.reduce((sum, bytes) => sum + bytes, 0n));
  return {
    availableBytes: wholeClusters(mostCopied(totals, BigInt(replicas))),
    largestBytes: wholeClusters(largestDisks[replicas - 1] ?? 0n),
  };
}

const maxOf = (one: bigint, other: bigint): bigint => (one > other ? one : other);
const descending = (one: bigint, other: bigint): number =>
  Number(other > one) - Number(one > other);

/** The largest T with `copies` times T in the nodes' rooms, of each of which at most T counts. */
function mostCopied(totals: readonly bigint[], copies: bigint): bigint {
  const fits = (bytes: bigint): boolean =>
    totals.reduce((sum, room) => sum + (room < bytes ? room : bytes), 0n) >= copies * bytes;
  let low = 0n;
  let high = totals.reduce((sum, room) => sum + room, 0n) / copies;
  while (low < high) {
    const middle = (low + high + 1n) / 2n;
    if (fits(middle)) low = middle;
    else high = middle - 1n;
  }
  return low;
}
