import {
  ReplicaMode,
  type ReplicaRecord,
  type VolumeRecord,
  comparePositions,
  positionOf,
} from '@lariat/contracts';
import type { FoundReplica, Hearing, VolumeEvidence } from './evidence.js';

export interface ChosenRecord {
  /** The newest that any node keeps. */
  readonly record: VolumeRecord;
  /** Why there may have been a newer one; empty: there was none. */
  readonly doubts: readonly string[];
}

/**
 * The newest record of a volume that the nodes keep. Every change of the in-sync set was kept by a member of it before
 * it counted, and who was to become a member was on record before. So when each replica that the newest record found
 * has as a member, or as one to be, is there and knows of nothing newer, then there was nothing newer; and when one
 * of them is missing, it may be the one that went on alone (docs/adr/0016). Undefined when no node keeps a record.
 * `stored`: what the store has, where that is as good as a copy.
 */
export function chooseRecord(
  evidence: VolumeEvidence,
  hearing: Hearing,
  stored?: VolumeRecord,
): ChosenRecord | undefined {
  let newest = stored;
  for (const { record } of evidence.copies) {
    if (newest === undefined || comparePositions(positionOf(record), positionOf(newest)) > 0)
      newest = record;
  }
  if (newest === undefined) return undefined;
  const record = newest;
  const doubts = record.replicas.flatMap((replica) => doubtOf(replica, evidence, hearing) ?? []);
  const { generation, revision } = positionOf(record);
  const text = JSON.stringify(record);
  const differing = evidence.copies.filter(
    (copy) =>
      comparePositions(positionOf(copy.record), { generation, revision }) === 0 &&
      JSON.stringify(copy.record) !== text,
  );
  if (differing.length > 0) {
    const nodes = differing.map(({ node }) => node).join(', ');
    doubts.push(`its record ${generation}.${revision} reads differently on ${nodes}`);
  }
  for (const { node, epoch } of evidence.engines) {
    if (epoch > record.epoch) {
      doubts.push(
        `node '${node}' runs its engine in epoch ${epoch}, and the newest record found is of epoch ${record.epoch}`,
      );
    }
  }
  return { record, doubts };
}

export function foundReplica(
  { id, node }: Pick<ReplicaRecord, 'id' | 'node'>,
  evidence: VolumeEvidence,
): FoundReplica | undefined {
  return evidence.replicas.find((found) => found.replica === id && found.node === node);
}

/** Why the replica is not there to be used, for a person; undefined when it is. */
export function missing(
  replica: ReplicaRecord,
  evidence: VolumeEvidence,
  hearing: Hearing,
): string | undefined {
  const { id, node } = replica;
  if (!hearing.answered.has(node)) {
    const reason = hearing.silent.get(node) ?? 'it has not registered';
    return `node '${node}', which has replica ${id}, does not answer (${reason})`;
  }
  switch (foundReplica(replica, evidence)?.head.presence) {
    case 'present':
      return undefined;
    case 'unknown':
      return `node '${node}' can't see replica ${id}: its disk or its target does not answer`;
    case 'absent':
    case undefined:
      return `node '${node}' answers, and replica ${id} is not there any more`;
  }
}

function doubtOf(
  replica: ReplicaRecord,
  evidence: VolumeEvidence,
  hearing: Hearing,
): string | undefined {
  if (replica.mode === ReplicaMode.err) return undefined;
  const { presence = 'absent' } = foundReplica(replica, evidence)?.head ?? {};
  // A rebuild that had made nothing yet, or of a lost replica only the old snapshots are left, if the node still knows
  // the disk: one that was installed anew may have forgotten a replica that had become the only one.
  const isRemembered = hearing.answered.get(replica.node)?.has(replica.disk) === true;
  if (replica.mode === ReplicaMode.wo && isRemembered && presence === 'absent') return undefined;
  return missing(replica, evidence, hearing);
}
