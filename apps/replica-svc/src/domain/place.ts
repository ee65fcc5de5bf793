import {
  type Placement,
  type PlacementExplanation,
  type PlacementPolicy,
  lariatError,
  toPlacementPolicy,
} from '@lariat/contracts';
import { type DiskState, freeBytes } from './disk-state.js';
import { explainPlacement } from './explain-placement.js';
import { type Obstacle, copyBytesOn, obstaclesOf } from './obstacles.js';
import { type Site, Spread } from './spread.js';

export interface PlaceRequest {
  readonly volume: string;
  /** One id a replica. */
  readonly replicas: readonly string[];
  readonly sizeBytes: number;
  /** Nodes that may get none. */
  readonly excludeNodes: readonly string[];
  /** What is left out is as in DEFAULT_PLACEMENT. */
  readonly placement?: Partial<PlacementPolicy>;
  /** Where the volume's other replicas are. */
  readonly others?: readonly Site[];
  /** Nodes that get one only when there is no other place: that of the replica that failed. */
  readonly avoidNodes?: readonly string[];
  /** The only disks that may get one; missing: any. */
  readonly onlyDisks?: readonly string[];
  /** Disks that come before others which keep the replicas apart as well. */
  readonly preferDisks?: readonly string[];
  /** never: a node that is suspected gets none, for what can wait until it is known. Missing: only when no other can. */
  readonly suspects?: 'never';
  /** The image that the replicas are to stand on. */
  readonly image?: ImageToStandOn;
}

export interface ImageToStandOn {
  /** Its id, where the caller tells it. */
  readonly id?: string;
  /** Disks that have a copy of it: they come before others, unless these have far more room. */
  readonly disks: readonly string[];
  /** What the copy takes that a disk without one is to get too; 0: a replica can do without. */
  readonly copyBytes: number;
}

export type PlaceOutcome =
  | { readonly placed: true; readonly placements: readonly Placement[] }
  | {
      readonly placed: false;
      /** NO_CAPACITY when it is room alone that is missing. */
      readonly code: 'NO_CAPACITY' | 'NOT_ENOUGH_NODES';
      readonly explanation: PlacementExplanation;
    };

/** What the search has come to: a place for each replica, or for as many as there were. */
export interface PlacementAttempt {
  readonly request: PlaceRequest;
  readonly policy: PlacementPolicy;
  readonly placements: readonly Placement[];
  readonly spread: Spread;
  /** The disks as they would be with what was placed. */
  readonly disks: readonly DiskState[];
}

/**
 * A disk for each replica, or each disk's reason. Pure. A replica that has a place keeps it, so that the same
 * request again gives the same answer, and what it holds already counts for it, not against it.
 *
 * Zones contain nodes, nodes disks, and the replicas are of one size: so of the places that are allowed any
 * choice leaves as many to the next replica as another, and choosing one by one finds a solution if there is one.
 */
export function place(request: PlaceRequest, disks: readonly DiskState[]): PlaceOutcome {
  const attempt = attemptPlacement(request, disks, true);
  if (attempt.placements.length === request.replicas.length)
    return { placed: true, placements: attempt.placements };
  const roomless = attemptPlacement(request, disks, false);
  const code =
    roomless.placements.length === request.replicas.length ? 'NO_CAPACITY' : 'NOT_ENOUGH_NODES';
  return { placed: false, code, explanation: explainPlacement(attempt, code) };
}

/** What a caller is told when nothing fits. */
export function placementError({
  code,
  explanation,
}: Extract<PlaceOutcome, { placed: false }>): Error {
  const { summary, disks, omittedDisks } = explanation;
  const told = disks.slice(0, DISKS_IN_MESSAGE).map(({ node, name, chosen, reasons }) => {
    const why = reasons.map(({ message }) => message).join(', ');
    return `${node}/${name}: ${chosen > 0 ? `would take ${chosen} and no more, as ${why}` : why}`;
  });
  const more = omittedDisks + Math.max(0, disks.length - DISKS_IN_MESSAGE);
  const tail = more > 0 ? [`${more} more disk(s), see the error's details`] : [];
  const seen = told.length === 0 ? 'There is no disk.' : `${[...told, ...tail].join('; ')}.`;
  return lariatError(code, `${summary} ${seen}`, {
    ...explanation,
    obstacles: { ...explanation.obstacles },
    disks: disks.map((disk) => ({
      ...disk,
      reasons: disk.reasons.map((reason) => ({ ...reason })),
    })),
  });
}

const DISKS_IN_MESSAGE = 12;

interface Candidate {
  readonly disk: DiskState;
  readonly index: number;
  readonly rank: readonly number[];
}

function attemptPlacement(
  request: PlaceRequest,
  given: readonly DiskState[],
  mindRoom: boolean,
): PlacementAttempt {
  const policy = toPlacementPolicy(request.placement);
  const spread = new Spread(request.others ?? []);
  const disks = [...given];
  const placements: Placement[] = [];
  // With the copies that the replicas placed so far bring along.
  let asked = request;
  const take = (replica: string, disk: DiskState): void => {
    placements.push({ replica, node: disk.node, disk: disk.disk });
    spread.add(disk);
    const { image } = asked;
    if (image !== undefined)
      asked = { ...asked, image: { ...image, disks: [...image.disks, disk.disk] } };
  };
  for (const replica of request.replicas) {
    const there = disks.find((disk) => disk.replicas.has(replica));
    if (there !== undefined) take(replica, there);
  }
  const avoided = new Set(request.avoidNodes);
  const preferred = new Set(request.preferDisks);
  const isBlocking = ({ obstacle }: Obstacle): boolean => mindRoom || obstacle !== 'no-room';
  const unplaced = request.replicas.filter(
    (replica) => !placements.some((placement) => placement.replica === replica),
  );
  for (const replica of unplaced) {
    const allowed = disks
      .map((disk, index) => ({ disk, index }))
      .filter(({ disk }) => !obstaclesOf(disk, asked, policy, spread).some(isBlocking));
    const copies = copiesWorthIt(
      asked,
      allowed.map(({ disk }) => disk),
    );
    const best = allowed
      .map((entry) => ({
        ...entry,
        rank: rankOf(entry.disk, policy, spread, { avoided, preferred, copies }),
      }))
      .reduce<Candidate | undefined>(
        (least, entry) =>
          least === undefined || compareRanks(entry.rank, least.rank) < 0 ? entry : least,
        undefined,
      );
    if (best === undefined) break;
    const takesBytes = request.sizeBytes + copyBytesOn(best.disk, asked);
    take(replica, best.disk);
    disks[best.index] = {
      ...best.disk,
      scheduledBytes: best.disk.scheduledBytes + takesBytes,
      replicas: new Map([...best.disk.replicas, [replica, request.sizeBytes]]),
    };
  }
  const order = new Map(request.replicas.map((replica, index) => [replica, index]));
  placements.sort((a, b) => (order.get(a.replica) ?? 0) - (order.get(b.replica) ?? 0));
  return { request: asked, policy, placements, spread, disks };
}

/** As long as it has at least half the room of the emptiest: else all volumes of one image would fill a few disks. */
function copiesWorthIt(
  { image }: Pick<PlaceRequest, 'image'>,
  allowed: readonly DiskState[],
): ReadonlySet<string> {
  if (image === undefined) return new Set();
  const mostFreeBytes = allowed.reduce((most, disk) => Math.max(most, freeBytes(disk)), 0);
  const roomy = allowed.filter((disk) => 2 * freeBytes(disk) >= mostFreeBytes);
  return new Set(roomy.map(({ disk }) => disk).filter((disk) => image.disks.includes(disk)));
}

/**
 * Smaller is better, the first difference decides. A node that may be gone comes last. Sharing a disk is worse than sharing a node, that worse than
 * going back to the node that has just failed, that worse than sharing a zone; then those that are preferred, then
 * those that spare a copy of the image, and the emptiest.
 */
function rankOf(
  disk: DiskState,
  policy: PlacementPolicy,
  spread: Spread,
  {
    avoided,
    preferred,
    copies,
  }: Readonly<Record<'avoided' | 'preferred' | 'copies', ReadonlySet<string>>>,
): readonly number[] {
  return [
    disk.nodeReady ? 0 : 1,
    policy.disk === 'off' ? 0 : spread.onDisk(disk.disk),
    policy.node === 'off' ? 0 : spread.onNode(disk.node),
    avoided.has(disk.node) ? 1 : 0,
    policy.zone === 'off' ? 0 : spread.inZone(disk.zone),
    preferred.has(disk.disk) ? 0 : 1,
    copies.has(disk.disk) ? 0 : 1,
    -freeBytes(disk),
  ];
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
