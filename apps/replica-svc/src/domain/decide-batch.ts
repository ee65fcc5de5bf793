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
  const view = nodes.flatMap((node) => disksOf(node, (disk) => recordOf(disk)?.replicas));
  const positions = new Map(view.map(({ disk }, at) => [disk, at]));
  const promise = ({ replica, disk, node }: Placement, { request, lease }: BatchEntry): void => {
    const { sizeBytes } = request;
    const before = writes.get(disk) ?? recordOf(disk) ?? { disk, node, replicas: {} };
    writes.set(disk, withPromises(before, [{ replica, sizeBytes, lease }]));
    const at = positions.get(disk);
    const state = at === undefined ? undefined : view[at];
    if (at === undefined || state === undefined || state.replicas.has(replica)) return;
    view[at] = {
      ...state,
      scheduledBytes: state.scheduledBytes + sizeBytes,
      replicas: new Map([...state.replicas, [replica, sizeBytes]]),
    };
  };
  const decisions = entries.map((entry): BatchDecision => {
    const outcome = place(entry.request, view);
    if (!outcome.placed) return outcome;
    const fresh: Placement[] = [];
    const adopted: Placement[] = [];
    for (const placement of outcome.placements) {
      const { disk, replica } = placement;
      const kind = kindOf(writes.get(disk) ?? recordOf(disk), replica, entry.lease);
      if (kind === 'fresh') fresh.push(placement);
      if (kind === 'adopted') adopted.push(placement);
      if (kind === 'fresh' || kind === 'adopted') promise(placement, entry);
    }
    return { placed: true, placements: outcome.placements, fresh, adopted };
  });
  return { decisions, writes };
}

function kindOf(
  record: AllocationRecord | undefined,
  replica: string,
  lease: CapacityLease,
): 'fresh' | 'adopted' | 'ours' | 'settled' {
  if (record?.replicas[replica] === undefined) return 'fresh';
  const held = record.leases?.[replica];
  if (held === undefined) return 'settled';
  // `ours`: from before this request lost a race for another disk.
  return held.token === lease.token ? 'ours' : 'adopted';
}
