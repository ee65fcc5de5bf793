import type { AllocationRecord, CapacityLease, Placement } from '@lariat/contracts';
import { disksOf } from './disk-state.js';
import { type PlaceOutcome, type PlaceRequest, place } from './place.js';
import { withPromises } from './promises.js';

/** A request to place, with the lease that its promises are to have. */
export interface BatchEntry {
  readonly request: PlaceRequest;
  readonly lease: CapacityLease;
}

export type BatchDecision =
  | Extract<PlaceOutcome, { placed: false }>
  | {
      readonly placed: true;
      readonly placements: readonly Placement[];
      /** Those that had no place before. */
      readonly fresh: readonly Placement[];
      /** Those that another request has promised, or counts on since: they are not this one's to take back. */
      readonly adopted: readonly Placement[];
    };

export interface BatchPlan {
  /** In the order of the entries. */
  readonly decisions: readonly BatchDecision[];
  /** The records that are to be written, by disk. */
  readonly writes: ReadonlyMap<string, AllocationRecord>;
}

/** Places all requests on one view of the disks, each seeing what those before it have taken. Pure. */
export function decideBatch(
  entries: readonly BatchEntry[],
  nodes: readonly Parameters<typeof disksOf>[0][],
  recordOf: (disk: string) => AllocationRecord | undefined,
): BatchPlan {
  const writes = new Map<string, AllocationRecord>();
  const current = (disk: string): AllocationRecord | undefined =>
    writes.get(disk) ?? recordOf(disk);
  const decisions = entries.map((entry): BatchDecision => {
    const view = nodes.flatMap((node) => disksOf(node, (disk) => current(disk)?.replicas));
    const outcome = place(entry.request, view);
    if (!outcome.placed) return outcome;
    const fresh: Placement[] = [];
    const adopted: Placement[] = [];
    for (const placement of outcome.placements) {
      const { disk, node, replica } = placement;
      const before = current(disk) ?? { disk, node, replicas: {} };
      const kind = kindOf(before, replica, entry.lease);
      if (kind === 'fresh') fresh.push(placement);
      if (kind === 'adopted') adopted.push(placement);
      if (kind === 'ours' || kind === 'settled') continue;
      const promise = { replica, sizeBytes: entry.request.sizeBytes, lease: entry.lease };
      writes.set(disk, withPromises(before, [promise]));
    }
    return { placed: true, placements: outcome.placements, fresh, adopted };
  });
  return { decisions, writes };
}

function kindOf(
  { replicas, leases = {} }: AllocationRecord,
  replica: string,
  lease: CapacityLease,
): 'fresh' | 'adopted' | 'ours' | 'settled' {
  if (replicas[replica] === undefined) return 'fresh';
  const held = leases[replica];
  if (held === undefined) return 'settled';
  // `ours`: from before this request lost a race for another disk.
  return held.token === lease.token ? 'ours' : 'adopted';
}
