import type { AllocationRecord, CapacityLease, Placement } from '@lariat/contracts';
import { disksOf } from './disk-state.js';
import { type PlaceOutcome, type PlaceRequest, place } from './place.js';
import { type NewPromise, withPromises } from './promises.js';

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
  const view = nodes.flatMap((node) => disksOf(node, recordOf));
  // A disk may have thousands of promises, and a batch makes a few: its record and its map are copied once, not for each.
  const disks = new Map(
    view.map(({ disk, replicas }, at) => [
      disk,
      { at, replicas: new Map(replicas), promises: new Map<string, NewPromise>() },
    ]),
  );
  const promise = (
    { replica, disk }: Placement,
    { sizeBytes }: PlaceRequest,
    lease: CapacityLease,
  ): void => {
    const seen = disks.get(disk);
    const state = seen === undefined ? undefined : view[seen.at];
    if (seen === undefined || state === undefined) return;
    const before = seen.promises.get(replica);
    seen.promises.set(replica, { replica, sizeBytes: before?.sizeBytes ?? sizeBytes, lease });
    if (seen.replicas.has(replica)) return;
    seen.replicas.set(replica, sizeBytes);
    const scheduledBytes = state.scheduledBytes + sizeBytes;
    view[seen.at] = { ...state, scheduledBytes, replicas: seen.replicas };
  };
  const decisions = entries.map((entry): BatchDecision => {
    const outcome = place(entry.request, view);
    if (!outcome.placed) return outcome;
    const kinds = outcome.placements.map(({ disk, replica }) => {
      const made = disks.get(disk)?.promises.get(replica)?.lease;
      return kindOf(made ?? leaseOf(recordOf(disk), replica), entry.lease);
    });
    const having = (kind: PromiseKind): readonly Placement[] =>
      outcome.placements.filter((_, at) => kinds[at] === kind);
    const [fresh, adopted] = [having('fresh'), having('adopted')];
    const places = kinds.filter((kind) => kind !== 'settled').length;
    for (const placement of [...fresh, ...adopted])
      promise(placement, entry.request, { ...entry.lease, places });
    return { placed: true, placements: outcome.placements, fresh, adopted };
  });
  const writes = new Map<string, AllocationRecord>();
  for (const [disk, { at, promises }] of disks) {
    const node = view[at]?.node;
    if (promises.size === 0 || node === undefined) continue;
    const before = recordOf(disk) ?? { disk, node, replicas: {} };
    writes.set(disk, withPromises(before, [...promises.values()]));
  }
  return { decisions, writes };
}

/** `settled`: promised, and a volume's record stands behind it. */
function leaseOf(
  record: AllocationRecord | undefined,
  replica: string,
): CapacityLease | 'settled' | undefined {
  if (record?.replicas[replica] === undefined) return undefined;
  return record.leases?.[replica] ?? 'settled';
}

type PromiseKind = 'fresh' | 'adopted' | 'ours' | 'settled';

function kindOf(held: CapacityLease | 'settled' | undefined, lease: CapacityLease): PromiseKind {
  if (held === undefined) return 'fresh';
  if (held === 'settled') return 'settled';
  // `ours`: from before this request lost a race for another disk.
  return held.token === lease.token ? 'ours' : 'adopted';
}
