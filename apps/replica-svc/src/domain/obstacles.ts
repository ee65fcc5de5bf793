import type { DiskVerdict, PlacementPolicy } from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';
import { type DiskState, freeBytes } from './disk-state.js';
import type { PlaceRequest } from './place.js';
import type { Spread } from './spread.js';

export type Obstacle = DiskVerdict['reasons'][number];

/** All that keeps a disk from taking one more replica of the request; empty when it can. Pure. */
export function obstaclesOf(
  disk: DiskState,
  request: Pick<PlaceRequest, 'sizeBytes' | 'excludeNodes' | 'onlyDisks' | 'image' | 'suspects'>,
  policy: PlacementPolicy,
  spread: Spread,
): readonly Obstacle[] {
  const found: Obstacle[] = [];
  const report = (obstacle: Obstacle['obstacle'], message: string): void => {
    found.push({ obstacle, message });
  };
  const isHopeful = disk.nodeSuspect === true && request.suspects !== 'never';
  if (!disk.nodeReady && !isHopeful) report('node-not-ready', `its node is ${disk.nodeState}`);
  if (!disk.nodeSchedulable) report('node-cordoned', 'its node is cordoned');
  if (disk.diskLost !== undefined) report('disk-lost', `it is lost: ${disk.diskLost}`);
  if (!disk.diskSchedulable) report('disk-cordoned', 'it is cordoned');
  if (request.excludeNodes.includes(disk.node))
    report('node-excluded', 'its node is excluded by the request');
  if (request.onlyDisks !== undefined && !request.onlyDisks.includes(disk.disk))
    report('disk-excluded', 'the request leaves it out');
  const nodeTags = missing(policy.nodeTags, disk.nodeTags);
  if (nodeTags !== undefined) report('node-tags-missing', `its node lacks ${nodeTags}`);
  const diskTags = missing(policy.diskTags, disk.diskTags);
  if (diskTags !== undefined) report('disk-tags-missing', `it lacks ${diskTags}`);
  if (policy.zone === 'hard' && spread.inZone(disk.zone) > 0)
    report('zone-taken', `zone ${disk.zone} has another replica of the volume`);
  if (policy.node === 'hard' && spread.onNode(disk.node) > 0)
    report('node-taken', 'its node has another replica of the volume');
  if (policy.disk === 'hard' && spread.onDisk(disk.disk) > 0)
    report('disk-taken', 'it has another replica of the volume');
  const copyBytes = copyBytesOn(disk, request);
  const neededBytes = request.sizeBytes + copyBytes;
  if (freeBytes(disk) < neededBytes) {
    const free = formatBytes(Math.max(0, freeBytes(disk)));
    const why = copyBytes === 0 ? '' : `, ${formatBytes(copyBytes)} of it for a copy of the image`;
    const { heldByImagesBytes = 0 } = disk;
    const held =
      heldByImagesBytes === 0
        ? ''
        : `, ${formatBytes(heldByImagesBytes)} held by copies of images that are in use or needed`;
    report('no-room', `${free} free${held}, ${formatBytes(neededBytes)} needed${why}`);
  }
  return found;
}

/** What the first replica on the disk takes beside its own size, for the copy of the image that it stands on. */
export function copyBytesOn(
  { disk }: Pick<DiskState, 'disk'>,
  { image }: Pick<PlaceRequest, 'image'>,
): number {
  return image === undefined || image.disks.includes(disk) ? 0 : image.copyBytes;
}

function missing(wanted: readonly string[], has: readonly string[]): string | undefined {
  const absent = wanted.filter((tag) => !has.includes(tag));
  if (absent.length === 0) return undefined;
  return `${absent.length === 1 ? 'tag' : 'tags'} ${absent.join(', ')}`;
}
