import {
  type ReplicaRecord,
  ReplicaMode,
  ReplicaState,
  type VolumeRecord,
} from '@lariat/contracts';
import { foundReplica } from './choose-record.js';
import type { VolumeEvidence } from './evidence.js';

export type Engine = VolumeEvidence['engines'][number];

/** The engine of the record's attachment that was found running; undefined when there is none. */
export function engineOf(record: VolumeRecord, evidence: VolumeEvidence): Engine | undefined {
  const { attachment } = record;
  return evidence.engines.find(
    ({ node, epoch }) => node === attachment?.node && epoch === attachment.epoch,
  );
}

/** Those of a running engine's legs that were to leave it and never did, when it has no member: they have missed nothing. */
function retiredLegs(
  record: VolumeRecord,
  { operational }: Engine,
  evidence: VolumeEvidence,
): readonly ReplicaRecord[] {
  const legs = record.replicas.filter(({ id }) => operational.includes(id));
  if (legs.some(({ mode }) => mode === ReplicaMode.rw)) return [];
  return legs.filter(
    (replica) =>
      replica.state === ReplicaState.removing &&
      foundReplica(replica, evidence)?.head.presence === 'present',
  );
}

/** The record with those members again that were to leave, when their engine has no others (docs/adr/0016). */
export function countRetiredLegs(
  record: VolumeRecord,
  engine: Engine | undefined,
  evidence: VolumeEvidence,
): VolumeRecord {
  const again = engine === undefined ? [] : retiredLegs(record, engine, evidence);
  if (again.length === 0) return record;
  const replicas = record.replicas.map((replica) =>
    again.includes(replica)
      ? { ...replica, mode: ReplicaMode.rw, state: ReplicaState.ready }
      : replica,
  );
  return { ...record, replicas };
}

/** Why a running engine may have acknowledged what no member has; undefined when it has not. */
export function legDoubt(record: VolumeRecord, evidence: VolumeEvidence): string | undefined {
  const engine = engineOf(record, evidence);
  // Of an attach that was cut off no host was told; an engine without any leg says nothing.
  if (engine === undefined || record.attachment?.endpoint === null) return undefined;
  if (engine.operational.length === 0) return undefined;
  const hasMember = record.replicas.some(
    ({ id, mode }) => mode === ReplicaMode.rw && engine.operational.includes(id),
  );
  if (hasMember || retiredLegs(record, engine, evidence).length > 0) return undefined;
  return `its engine on '${engine.node}' goes on with ${engine.operational.join(', ')} alone, which is not known to hold all that was written before`;
}
