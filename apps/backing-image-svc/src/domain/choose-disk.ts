import {
  type DiskView,
  type IdleImageCopy,
  type NodeView,
  copiesToFree,
  lariatError,
} from '@lariat/contracts';
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
  /** Copies that give up their room to who promises more than there is; none: what is free now counts. */
  readonly idle?: readonly IdleImageCopy[];
}

/** The disk with the most room that may take a new copy; undefined when none has enough. Pure. */
export function findDisk(choice: DiskChoice): ChosenDisk | undefined {
  const { idle = [], needBytes } = choice;
  const roomBytes = ({ id, availableBytes }: DiskView): number =>
    availableBytes + copiesToFree(idle, id, needBytes - availableBytes).freedBytes;
  const [best] = choice.nodes
    .filter(({ name, state, schedulable }) => {
      return state === 'ready' && schedulable && !choice.exceptNodes.includes(name);
    })
    .flatMap(({ disks }) => disks)
    .filter(({ state, schedulable }) => state !== 'lost' && schedulable)
    .filter(({ id }) => !choice.exceptDisks.includes(id))
    .filter((disk) => roomBytes(disk) >= needBytes)
    .toSorted((a, b) => roomBytes(b) - roomBytes(a) || a.id.localeCompare(b.id));
  return best === undefined ? undefined : { node: best.node, disk: best.id };
}

export function noRoomForImage(needBytes: number): Error {
  return lariatError(
    'NO_CAPACITY',
    `No disk of a node that is ready and takes new data has ${formatBytes(needBytes)} left for a copy of the image, nor would copies of others that nobody uses give it; add a disk, or delete what is not needed.`,
    { sizeBytes: needBytes },
  );
}
