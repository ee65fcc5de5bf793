import { type NodeRecord, type ReplicaRecord, type VolumeRecord, zoneOf } from '@lariat/contracts';

/** The next step towards a number of replicas. */
export type ScaleStep =
  | { readonly kind: 'done' }
  /** Another operation has the volume; it is waited for. */
  | { readonly kind: 'wait'; readonly operation: string }
  | { readonly kind: 'add' }
  | { readonly kind: 'remove'; readonly replica: string };

/** Pure: decided anew on the record after each step, so that a saga which is resumed goes on from what is there. */
export function nextScaleStep(
  record: VolumeRecord,
  wanted: number,
  nodes: readonly NodeRecord[],
): ScaleStep {
  if (record.operation !== null) return { kind: 'wait', operation: record.operation };
  const inSync = record.replicas.filter(({ mode }) => mode === 'RW').length;
  if (inSync < wanted) return { kind: 'add' };
  const [surplus] = inRemovalOrder(record, nodes);
  if (record.replicas.length <= wanted || surplus === undefined) return { kind: 'done' };
  return { kind: 'remove', replica: surplus.id };
}

/**
 * The replicas, the one that is missed least first: one that holds nothing that counts; then one on a node that is
 * not ready, or that takes no new ones; then one that shares its disk, node or zone with another; then one away from
 * the engine, which reads nothing over the network from its own. The newest of equals.
 */
export function inRemovalOrder(
  record: VolumeRecord,
  nodes: readonly NodeRecord[],
): readonly ReplicaRecord[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const zone = ({ node }: ReplicaRecord): string | undefined => {
    const found = byName.get(node);
    return found === undefined ? undefined : zoneOf(found);
  };
  const shares = <T>(replica: ReplicaRecord, of: (other: ReplicaRecord) => T): number =>
    record.replicas.some((other) => other.id !== replica.id && of(other) === of(replica)) ? 0 : 1;
  const rank = (replica: ReplicaRecord): readonly number[] => {
    const node = byName.get(replica.node);
    return [
      replica.mode === 'RW' ? 1 : 0,
      node?.state === 'ready' ? 1 : 0,
      node?.schedulable === true ? 1 : 0,
      shares(replica, ({ disk }) => disk),
      shares(replica, (other) => other.node),
      shares(replica, zone),
      replica.node === record.attachment?.node ? 1 : 0,
    ];
  };
  return record.replicas
    .map((replica) => ({ replica, rank: rank(replica) }))
    .toReversed()
    .toSorted((a, b) => compare(a.rank, b.rank))
    .map(({ replica }) => replica);
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index]);
  return at === -1 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}
