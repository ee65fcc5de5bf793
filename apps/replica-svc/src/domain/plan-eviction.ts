import { type IdleImageCopy, copiesToFree, toPlacementPolicy } from '@lariat/contracts';
import { type DiskState, freeBytes, sumOf } from './disk-state.js';
import { copyBytesOn, obstaclesOf } from './obstacles.js';
import { type PlaceRequest, place } from './place.js';
import { Spread } from './spread.js';

/** A disk that only wants room, with the idle copies that would give it. */
interface Opening {
  readonly disk: string;
  readonly copies: readonly IdleImageCopy[];
}

/**
 * The idle copies of images that are to go so that a request which finds no room has a place for all of its replicas;
 * undefined when none would do. Disks whose copies are idle for the longest come first, and none is opened in vain. Of
 * the image that the replicas are to stand on no copy goes. Pure.
 */
export function planEviction(
  request: PlaceRequest,
  disks: readonly DiskState[],
  idle: readonly IdleImageCopy[],
): readonly IdleImageCopy[] | undefined {
  const { node, disk } = toPlacementPolicy(request.placement);
  const mostOnOne = node === 'hard' || disk === 'hard' ? 1 : request.replicas.length;
  for (let onOne = 1; onOne <= mostOnOne; onOne += 1) {
    const openings = chooseOpenings(request, disks, openingsFor(request, disks, idle, onOne));
    if (openings !== undefined) return openings.flatMap(({ copies }) => copies);
  }
  return undefined;
}

function chooseOpenings(
  request: PlaceRequest,
  disks: readonly DiskState[],
  openings: readonly Opening[],
): readonly Opening[] | undefined {
  const suffice = (some: readonly Opening[]): boolean => place(request, opened(disks, some)).placed;
  if (!suffice(openings)) return undefined;
  // More room never takes a place away, so that the fewest that suffice are found by halving.
  let [tooFew, enough] = [-1, openings.length];
  while (enough - tooFew > 1) {
    const count = Math.floor((tooFew + enough) / 2);
    if (suffice(openings.slice(0, count))) enough = count;
    else tooFew = count;
  }
  let chosen = openings.slice(0, enough);
  // Those that came before the one that was needed, and are of no use to it.
  for (const one of chosen) {
    const fewer = chosen.filter((other) => other !== one);
    if (suffice(fewer)) chosen = fewer;
  }
  return chosen;
}

/** Each gives room for as many replicas as were asked for, or for as many as it can. */
function openingsFor(
  request: PlaceRequest,
  disks: readonly DiskState[],
  idle: readonly IdleImageCopy[],
  mostReplicas: number,
): readonly Opening[] {
  const others = idle.filter(({ image }) => image !== request.image?.id);
  const policy = toPlacementPolicy(request.placement);
  const spread = new Spread(request.others ?? []);
  const idleSinceMs = ({ disk }: DiskState): number =>
    Math.min(...others.filter((copy) => copy.disk === disk).map((copy) => copy.idleSinceMs));
  const wanting = disks
    .map((disk) => ({ disk, sinceMs: idleSinceMs(disk) }))
    .filter(({ disk, sinceMs }) => {
      const { sizeBytes, ...rest } = request;
      const asked = { ...rest, sizeBytes: sizeBytes * mostReplicas };
      const obstacles = obstaclesOf(disk, asked, policy, spread);
      const isRoomAll = obstacles.every(({ obstacle }) => obstacle === 'no-room');
      return Number.isFinite(sinceMs) && obstacles.length > 0 && isRoomAll;
    })
    .toSorted((a, b) => a.sinceMs - b.sinceMs || a.disk.disk.localeCompare(b.disk.disk));
  const openings: Opening[] = [];
  for (const { disk } of wanting) {
    const chosen = openings.flatMap(({ copies }) => copies);
    for (let replicas = mostReplicas; replicas > 0; replicas -= 1) {
      const neededBytes = request.sizeBytes * replicas + copyBytesOn(disk, request);
      const lackingBytes = neededBytes - freeBytes(disk);
      const { copies, freedBytes } = copiesToFree(others, disk.disk, lackingBytes, chosen);
      if (copies.length === 0 || freedBytes < lackingBytes) continue;
      openings.push({ disk: disk.disk, copies });
      break;
    }
  }
  return openings;
}

function opened(disks: readonly DiskState[], openings: readonly Opening[]): readonly DiskState[] {
  const freed = new Map(
    openings.map(({ disk, copies }) => [disk, sumOf(copies.map(({ sizeBytes }) => sizeBytes))]),
  );
  return disks.map((disk) => {
    const freedBytes = freed.get(disk.disk) ?? 0;
    return { ...disk, scheduledBytes: disk.scheduledBytes - freedBytes };
  });
}

/** The disks with what copies of images keep on them that can not be evicted, for whoever is told why nothing fits. Pure. */
export function withHeldByImages(
  disks: readonly DiskState[],
  idle: readonly IdleImageCopy[],
): readonly DiskState[] {
  return disks.map((disk) => {
    const { freedBytes } = copiesToFree(idle, disk.disk, Number.POSITIVE_INFINITY);
    return { ...disk, heldByImagesBytes: Math.max(0, disk.imageBytes - freedBytes) };
  });
}
