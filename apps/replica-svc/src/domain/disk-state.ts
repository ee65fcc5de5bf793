import {
  type AllocationRecord,
  type NodeRecord,
  allocatableBytes,
  diskSettingsOf,
  zoneOf,
} from '@lariat/contracts';

/** A disk as placement sees it. */
export interface DiskState {
  readonly disk: string;
  readonly name: string;
  readonly node: string;
  readonly zone: string;
  readonly nodeReady: boolean;
  /** It may be gone, or back in a moment: it gets a replica only when no other can. */
  readonly nodeSuspect?: boolean;
  /** Why the node is not ready, for a person. */
  readonly nodeState: string;
  readonly nodeSchedulable: boolean;
  readonly nodeTags: readonly string[];
  /** Why the disk is lost; missing: it is not. */
  readonly diskLost?: string;
  readonly diskSchedulable: boolean;
  readonly diskTags: readonly string[];
  /** The most that may be promised on it. */
  readonly allocatableBytes: number;
  readonly scheduledBytes: number;
  /** What of it is promised to copies of images. */
  readonly imageBytes: number;
  /** What of that can not be evicted, where somebody has asked. */
  readonly heldByImagesBytes?: number;
  /** Replica id -> bytes promised. */
  readonly replicas: ReadonlyMap<string, number>;
}

/** What may still be promised; negative when the disk's limit was lowered below what is. */
export const freeBytes = (disk: Pick<DiskState, 'allocatableBytes' | 'scheduledBytes'>): number =>
  disk.allocatableBytes - disk.scheduledBytes;

type Promises = Pick<AllocationRecord, 'replicas' | 'images'>;

/** All that is promised on a disk: to replicas, and to copies of images. */
export const scheduledBytesOf = ({ replicas, images = {} }: Promises): number =>
  sumOf(Object.values(replicas)) + sumOf(Object.values(images));

/** The disks of a node, with what is promised on each. */
export function disksOf(
  node: NodeRecord,
  recordOf: (disk: string) => Promises | undefined,
): readonly DiskState[] {
  return node.disks.map((disk) => {
    const settings = diskSettingsOf(node, disk.id);
    const record = recordOf(disk.id) ?? { replicas: {} };
    const replicas = new Map(Object.entries(record.replicas));
    return {
      disk: disk.id,
      name: disk.name,
      node: node.name,
      zone: zoneOf(node),
      nodeReady: node.state === 'ready',
      nodeSuspect: node.state === 'suspect',
      nodeState: `${node.state}: ${node.reason}`,
      nodeSchedulable: node.schedulable,
      nodeTags: node.settings?.tags ?? [],
      ...(disk.lost === undefined ? {} : { diskLost: disk.lost.reason }),
      diskSchedulable: settings.schedulable,
      diskTags: settings.tags ?? disk.tags,
      allocatableBytes: allocatableBytes(disk.capacityBytes, settings),
      scheduledBytes: scheduledBytesOf(record),
      imageBytes: sumOf(Object.values(record.images ?? {})),
      replicas,
    };
  });
}

export function sumOf(sizesBytes: Iterable<number>): number {
  let totalBytes = 0;
  for (const sizeBytes of sizesBytes) totalBytes += sizeBytes;
  return totalBytes;
}
