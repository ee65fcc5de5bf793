import { type DiskView, type ImageRecord, type NodeView, lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, formatBytes } from '@lariat/kernel';

export interface ChosenDisk {
  readonly node: string;
  readonly disk: string;
}

export interface DiskChoice {
  readonly nodes: readonly Pick<NodeView, 'name' | 'state' | 'schedulable' | 'disks'>[];
  /** All images on record: placement does not promise space to copies, so what they take is taken off here. */
  readonly images: readonly Pick<ImageRecord, 'copies' | 'dataClusters' | 'sizeBytes' | 'state'>[];
  readonly needBytes: number;
  readonly exceptNodes: readonly string[];
  readonly exceptDisks: readonly string[];
}

/** Bytes that copies of images take on each disk: what is not zeros of those that are known, all of those that are not. */
function takenBytes(images: DiskChoice['images']): ReadonlyMap<string, number> {
  const taken = new Map<string, number>();
  for (const { copies, dataClusters, sizeBytes, state } of images) {
    const bytes = state === 'ready' ? dataClusters * CLUSTER_SIZE_BYTES : sizeBytes;
    for (const { disk } of copies) taken.set(disk, (taken.get(disk) ?? 0) + bytes);
  }
  return taken;
}

/** The disk with the most room that may take a new copy; undefined when none has enough. Pure. */
export function findDisk(choice: DiskChoice): ChosenDisk | undefined {
  const taken = takenBytes(choice.images);
  const room = (disk: DiskView): number => disk.availableBytes - (taken.get(disk.id) ?? 0);
  const [best] = choice.nodes
    .filter(({ name, state, schedulable }) => {
      return state === 'ready' && schedulable && !choice.exceptNodes.includes(name);
    })
    .flatMap(({ disks }) => disks)
    .filter(({ id, schedulable }) => schedulable && !choice.exceptDisks.includes(id))
    .filter((disk) => room(disk) >= choice.needBytes)
    .toSorted((a, b) => room(b) - room(a) || a.id.localeCompare(b.id));
  return best === undefined ? undefined : { node: best.node, disk: best.id };
}

export function noRoomForImage(needBytes: number): Error {
  return lariatError(
    'NO_CAPACITY',
    `No disk of a node that is ready and takes new data has ${formatBytes(needBytes)} left for a copy of the image; add a disk, or delete what is not needed.`,
    { sizeBytes: needBytes },
  );
}
