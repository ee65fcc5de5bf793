import { type Placement, lariatError } from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';

/** A disk as placement sees it. */
export interface DiskState {
  readonly disk: string;
  readonly node: string;
  readonly nodeReady: boolean;
  readonly schedulable: boolean;
  readonly capacityBytes: number;
  /** Replica id -> bytes promised. */
  readonly replicas: ReadonlyMap<string, number>;
  readonly scheduledBytes: number;
}

export interface PlaceRequest {
  readonly replicas: readonly string[];
  readonly sizeBytes: number;
  readonly excludeNodes: readonly string[];
}

const freeBytes = (disk: DiskState): number => disk.capacityBytes - disk.scheduledBytes;

/** Why a disk can't take a replica; undefined when it can. */
export function whyNot(
  disk: DiskState,
  sizeBytes: number,
  usedNodes: ReadonlySet<string>,
): string | undefined {
  if (!disk.nodeReady) return 'its node is not ready';
  if (!disk.schedulable) return 'its node is cordoned';
  if (usedNodes.has(disk.node)) return 'its node has a replica of the volume already';
  if (freeBytes(disk) < sizeBytes)
    return `${formatBytes(Math.max(0, freeBytes(disk)))} free, ${formatBytes(sizeBytes)} needed`;
  return undefined;
}

/**
 * A disk for each replica, each on a node of its own, the emptiest first. A replica that has a place already keeps
 * it, so that the same request again gives the same answer. Pure; throws when nothing fits, with each disk's reason.
 */
export function place(request: PlaceRequest, disks: readonly DiskState[]): readonly Placement[] {
  const placements: Placement[] = [];
  const usedNodes = new Set(request.excludeNodes);
  for (const replica of request.replicas) {
    const there = disks.find((disk) => disk.replicas.has(replica));
    if (there === undefined) continue;
    placements.push({ replica, node: there.node, disk: there.disk });
    usedNodes.add(there.node);
  }
  for (const replica of request.replicas) {
    if (placements.some((placement) => placement.replica === replica)) continue;
    const fitting = disks.filter(
      (disk) => whyNot(disk, request.sizeBytes, usedNodes) === undefined,
    );
    const best = fitting.reduce<DiskState | undefined>(
      (chosen, disk) =>
        chosen === undefined || freeBytes(disk) > freeBytes(chosen) ? disk : chosen,
      undefined,
    );
    if (best === undefined)
      throw nothingFits(request, disks, new Set(request.excludeNodes), placements.length);
    placements.push({ replica, node: best.node, disk: best.disk });
    usedNodes.add(best.node);
  }
  return placements;
}

function nothingFits(
  request: PlaceRequest,
  disks: readonly DiskState[],
  excluded: ReadonlySet<string>,
  placed: number,
): Error {
  const wanted = request.replicas.length;
  const readyNodes = new Set(
    disks
      .filter((disk) => disk.nodeReady && disk.schedulable && !excluded.has(disk.node))
      .map((disk) => disk.node),
  );
  const reasons = Object.fromEntries(
    disks.map((disk) => [
      `${disk.node}/${disk.disk}`,
      whyNot(disk, request.sizeBytes, excluded) ?? 'could take one',
    ]),
  );
  if (readyNodes.size < wanted) {
    const names = [...readyNodes].toSorted().join(', ') || 'none';
    return lariatError(
      'NOT_ENOUGH_NODES',
      `${wanted} replica(s) need ${wanted} ready node(s) that have none yet; there are ${readyNodes.size} (${names}). Add nodes, or ask for fewer replicas.`,
      { wanted, readyNodes: readyNodes.size, disks: reasons },
    );
  }
  return lariatError(
    'NO_CAPACITY',
    `${formatBytes(request.sizeBytes)} fit on ${placed} of the ${wanted} node(s) needed. Add disks, delete volumes, or ask for less: ${Object.entries(
      reasons,
    )
      .map(([disk, reason]) => `${disk}: ${reason}`)
      .join('; ')}.`,
    { wanted, placed, sizeBytes: request.sizeBytes, disks: reasons },
  );
}
