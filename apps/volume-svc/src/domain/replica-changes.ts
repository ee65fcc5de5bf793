import {
  type ReplicaRecord,
  ReplicaMode,
  ReplicaState,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';

/** Ids of the replicas that hold all acknowledged writes. */
export function inSyncOf(record: VolumeRecord): readonly string[] {
  return record.replicas
    .filter((replica) => replica.mode === ReplicaMode.rw)
    .map((replica) => replica.id);
}

/** It has not left its engine, as long as that says so. */
export const isRetired = (record: VolumeRecord, id: string): boolean =>
  record.replicas.some((replica) => replica.id === id && replica.state === ReplicaState.removing);

/** Only a new volume's replicas count from the start; whoever keeps the record before must know of any other that is to. */
function assertMayPut(record: VolumeRecord, { id, mode }: ReplicaRecord): void {
  if (mode !== ReplicaMode.rw && isLastInSync(record, id)) throw lastReplica(record, id);
  if (mode !== ReplicaMode.rw || record.state === 'creating') return;
  throw lariatError(
    'REQUEST_INVALID',
    `Volume '${record.name}' is ${record.state}: replica ${id} is put on record as WO, and counts once 'sync-replica' says that it holds all writes.`,
    { volume: record.id, replica: id },
  );
}

function withReplica(
  replicas: readonly ReplicaRecord[],
  replica: ReplicaRecord,
): readonly ReplicaRecord[] {
  const others = replicas.filter((other) => other.id !== replica.id);
  return others.length === replicas.length
    ? [...replicas, replica]
    : replicas.map((other) => (other.id === replica.id ? replica : other));
}

function withInSync(record: VolumeRecord, replicas: readonly ReplicaRecord[]): VolumeRecord {
  const changed = { ...record, replicas };
  if (record.attachment === null) return changed;
  return { ...changed, attachment: { ...record.attachment, inSync: inSyncOf(changed) } };
}

function isLastInSync(record: VolumeRecord, id: string): boolean {
  const inSync = inSyncOf(record);
  return inSync.length === 1 && inSync[0] === id;
}

export function putReplica(record: VolumeRecord, replica: ReplicaRecord): VolumeRecord {
  assertMayPut(record, replica);
  return withInSync(record, withReplica(record.replicas, replica));
}

export function dropReplica(record: VolumeRecord, id: string): VolumeRecord {
  if (!record.replicas.some((replica) => replica.id === id)) return record;
  if (record.state !== 'deleting' && isLastInSync(record, id)) throw lastReplica(record, id);
  return withInSync(
    record,
    record.replicas.filter((replica) => replica.id !== id),
  );
}

export function retireReplica(record: VolumeRecord, id: string): VolumeRecord {
  const replica = record.replicas.find((candidate) => candidate.id === id);
  // Retired by an earlier run.
  if (replica?.state === ReplicaState.removing) return record;
  if (replica?.mode !== ReplicaMode.rw) return dropReplica(record, id);
  if (isLastInSync(record, id)) throw lastReplica(record, id);
  const retired = { ...replica, mode: ReplicaMode.wo, state: ReplicaState.removing };
  return withInSync(record, withReplica(record.replicas, retired));
}

export function faultReplica(
  record: VolumeRecord,
  change: Extract<VolumeChange, { type: 'fault-replica' }>,
): VolumeRecord {
  const replica = record.replicas.find((candidate) => candidate.id === change.replica);
  if (replica === undefined || replica.mode === ReplicaMode.err) return record;
  if (isLastInSync(record, replica.id)) throw lastReplica(record, replica.id);
  const faulted = {
    ...replica,
    mode: ReplicaMode.err,
    state: ReplicaState.faulted,
    reason: change.reason,
    faultedAtMs: change.atMs,
  };
  return withInSync(record, withReplica(record.replicas, faulted));
}

export function syncReplica(record: VolumeRecord, id: string): VolumeRecord {
  const replica = record.replicas.find((candidate) => candidate.id === id);
  if (replica === undefined || replica.mode === ReplicaMode.rw) return record;
  if (replica.mode === ReplicaMode.err) {
    throw lariatError(
      'VOLUME_BUSY',
      `Replica ${id} failed while it was being rebuilt: ${replica.reason ?? 'no reason'}.`,
      {
        replica: id,
      },
    );
  }
  const synced = {
    ...replica,
    mode: ReplicaMode.rw,
    state: ReplicaState.ready,
    reason: null,
    faultedAtMs: null,
  };
  return withInSync(record, withReplica(record.replicas, synced));
}

/** Invariant 5: the last healthy replica is never faulted or dropped by the way. */
function lastReplica(record: VolumeRecord, id: string): Error {
  return lariatError(
    'LAST_REPLICA',
    `Replica ${id} is the last of volume '${record.name}' that holds all acknowledged writes; it stays.`,
    { volume: record.id, replica: id },
  );
}
