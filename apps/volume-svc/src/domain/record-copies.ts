import {
  type Inventory,
  type KeepingRules,
  ReplicaMode,
  type StrayRecordCopy,
  type VolumeRecord,
  findStrayCopies,
} from '@lariat/contracts';

/** The nodes that a copy of the record belongs on: those of its replicas, and the one of its engine. */
export function keepersOf(record: VolumeRecord): readonly string[] {
  const nodes = record.replicas.map(({ node }) => node);
  return [...new Set(record.attachment === null ? nodes : [...nodes, record.attachment.node])];
}

/**
 * The nodes of the in-sync set. One of them must keep a change of the set before it counts: a recovery that has heard
 * every replica that was or was becoming a member then knows of the newest record (docs/adr/0016). Not one of those
 * that the change itself puts on record: who only knows the record before would not ask them.
 */
export function witnessesOf(
  record: VolumeRecord,
  newcomers: readonly string[] = [],
): readonly string[] {
  const members = record.replicas.filter(({ mode }) => mode === ReplicaMode.rw);
  const old = members.filter(({ id }) => !newcomers.includes(id));
  return [...new Set((old.length === 0 ? members : old).map(({ node }) => node))];
}

/** The nodes of replicas that do not count, and may be about to. */
export function joiningOf(record: VolumeRecord): readonly string[] {
  return record.replicas.filter(({ mode }) => mode === ReplicaMode.wo).map(({ node }) => node);
}

/** The rules of RecordCopies for volumes. */
export const VOLUME_COPIES: KeepingRules<'volume'> = {
  kind: 'volume',
  keepersOf,
  witnessesOf,
  joiningOf,
  witness: 'a healthy replica',
};

/** The copies of a node that differ from the records, by what the inventory says. Pure. */
export const findStrayVolumeCopies = (
  { node, replicas }: Pick<Inventory, 'node' | 'replicas'>,
  recordOf: (volume: string) => VolumeRecord | undefined,
): readonly StrayRecordCopy[] =>
  findStrayCopies(
    replicas.map(({ replica, volume, record: held = null }) => ({
      id: volume,
      held,
      with: comparable(node, replica, recordOf(volume)),
    })),
  );

function comparable(
  node: string,
  replica: string,
  record: VolumeRecord | undefined,
): { readonly record: VolumeRecord; readonly isSettled: boolean } | undefined {
  if (record === undefined || record.inDoubt !== undefined || record.state === 'creating')
    return undefined;
  const isListed = record.replicas.some((one) => one.id === replica && one.node === node);
  // Half way through an operation the next change is about to come.
  return { record, isSettled: isListed && record.operation === null };
}

/** Whether the copies should follow a change at once. What only an operation needs while it runs is left out. */
export function isWorthKeeping(before: VolumeRecord, after: VolumeRecord): boolean {
  if (after.inDoubt !== undefined || after.state === 'creating') return false;
  return (
    after.operation === null ||
    after.state === 'deleting' ||
    after.replicas !== before.replicas ||
    after.content !== before.content ||
    after.clean !== before.clean
  );
}

/** Why a volume is in doubt whose node knows more of it than the store. */
export const staleReason = (node: string): string =>
  `node '${node}' keeps a newer record than the store: the store was set back`;
