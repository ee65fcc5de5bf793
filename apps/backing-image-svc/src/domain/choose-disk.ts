import { type NodeView, lariatError } from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';

export interface ChosenDisk {
  readonly node: string;
  readonly disk: string;
}

export interface DiskChoice {
  readonly nodes: readonly Pick<NodeView, 'name' | 'state' | 'schedulable' | 'disks'>[];
  readonly needBytes: number;
  readonly exceptNodes: readonly string[];
  readonly exceptDisks: readonly string[];
}

/** The disk with the most room that may take a new copy; undefined when none has enough. Pure. */
export function findDisk(choice: DiskChoice): ChosenDisk | undefined {
  const [best] = choice.nodes
    .filter(({ name, state, schedulable }) => {
      return state === 'ready' && schedulable && !choice.exceptNodes.includes(name);
    })
    .flatMap(({ disks }) => disks)
    .filter(({ id, schedulable }) => schedulable && !choice.exceptDisks.includes(id))
    .filter((disk) => disk.availableBytes >= choice.needBytes)
    .toSorted((a, b) => b.availableBytes - a.availableBytes || a.id.localeCompare(b.id));
  return best === undefined ? undefined : { node: best.node, disk: best.id };
}

export function noRoomForImage(needBytes: number): Error {
  return lariatError(
    'NO_CAPACITY',
    `No disk of a node that is ready and takes new data has ${formatBytes(needBytes)} left for a copy of the image; add a disk, or delete what is not needed.`,
    { sizeBytes: needBytes },
  );
}
