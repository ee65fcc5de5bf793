import {
  type CloneRecord,
  DEFAULT_REBUILD_CONTROL,
  VOLUME_MACHINE,
  type RebuildControl,
  type VolumeChange,
  type VolumeEvent,
  type VolumeRecord,
  type VolumeState,
  lariatError,
  robustnessOf,
} from '@lariat/contracts';
import { volumeInDoubt } from './volume-in-doubt.js';
import { changeContent, disownContent } from './change-content.js';
import { type VolumeHappening, describeChange } from './describe-change.js';
import {
  dropReplica,
  faultReplica,
  inSyncOf,
  isRetired,
  putReplica,
  retireReplica,
  syncReplica,
} from './replica-changes.js';

export interface ChangedVolume {
  readonly record: VolumeRecord;
  readonly events: readonly VolumeHappening[];
}

/**
 * The record after the changes of one operation, and what is to be told of them. Pure; throws when the operation
 * does not hold the volume or the state forbids a change: then none of them is made.
 * `operation` is null for what an agent has observed.
 */
export function applyVolumeChanges(
  before: VolumeRecord,
  operation: string | null,
  changes: readonly VolumeChange[],
): ChangedVolume {
  assertNotInDoubt(before, operation, changes);
  const events: VolumeHappening[] = [];
  let record = before;
  for (const change of changes) {
    assertMayChange(record, operation, change);
    const after = applyOne(record, change);
    const event = after === record ? undefined : describeChange(record, after, change);
    if (event !== undefined) events.push(event);
    record = after;
  }
  const robustness = robustnessOf(record);
  if (
    record.state !== 'deleting' &&
    robustness !== robustnessOf(before) &&
    robustness !== 'unknown'
  ) {
    events.push({ type: robustness, data: { inSync: inSyncOf(record) } });
  }
  return { record, events };
}

/** An operation that holds the volume may end; of new ones only a delete may begin. */
function assertNotInDoubt(
  record: VolumeRecord,
  operation: string | null,
  changes: readonly VolumeChange[],
): void {
  if (record.inDoubt === undefined || operation === null || record.operation === operation) return;
  const isDelete = changes.some(
    (change) => change.type === 'transition' && change.event === 'delete',
  );
  if (!isDelete && changes.some(({ type }) => type === 'claim')) throw volumeInDoubt(record);
}

function assertMayChange(
  record: VolumeRecord,
  operation: string | null,
  change: VolumeChange,
): void {
  // What an agent saw is true whoever holds the volume.
  if (change.type === 'fault-replica' && operation === null) return;
  if (change.type === 'sync-replica' && operation === null && isRetired(record, change.replica))
    return;
  if (change.type === 'claim') {
    if (record.operation === null || record.operation === change.operation) return;
    throw operationInProgress(record);
  }
  // What has become of a clone is true whoever holds its source.
  if (change.type === 'settle-clone' || change.type === 'drop-clone') return;
  // Nor has who holds the volume a say in what is wanted of its rebuilds.
  if (change.type === 'control-rebuild') return;
  // The attachment's epoch fences it.
  if (change.type === 'set-content') return;
  // A release that was made before and is sent again.
  if (change.type === 'release' && record.operation !== change.operation) return;
  if (operation === null || record.operation !== operation) {
    throw lariatError(
      'COMMAND_FENCED',
      `Operation ${operation ?? '(none)'} no longer holds volume '${record.name}'; it was ended or taken over.`,
      { volume: record.id, holder: record.operation },
    );
  }
}

export function operationInProgress(record: VolumeRecord): Error {
  return lariatError(
    'OPERATION_IN_PROGRESS',
    `Operation ${record.operation} works on volume '${record.name}': wait for it ('lariat operation wait ${record.operation}') and try again.`,
    { volume: record.id, operation: record.operation },
  );
}

function applyOne(record: VolumeRecord, change: VolumeChange): VolumeRecord {
  switch (change.type) {
    case 'claim':
      return record.operation === change.operation
        ? record
        : { ...record, operation: change.operation };
    case 'release':
      return record.operation === change.operation ? { ...record, operation: null } : record;
    case 'transition': {
      const state = stateAfter(record, change.event);
      return state === record.state ? record : { ...record, state };
    }
    case 'resize':
      return { ...record, sizeBytes: change.sizeBytes };
    case 'put-replica':
      return putReplica(record, change.replica);
    case 'drop-replica':
      return dropReplica(record, change.replica);
    case 'retire-replica':
      return retireReplica(record, change.replica);
    case 'fault-replica':
      return faultReplica(record, change);
    case 'sync-replica':
      return syncReplica(record, change.replica);
    case 'add-snapshot':
      if (record.snapshots.some((snapshot) => snapshot.id === change.snapshot.id)) return record;
      return {
        ...record,
        snapshots: [...record.snapshots, change.snapshot],
        headParent: change.snapshot.id,
      };
    case 'set-checksum':
      return setChecksum(record, change.snapshot, change.sha256);
    case 'drop-snapshot':
      return dropSnapshot(record, change.snapshot);
    case 'begin-revert': {
      const { operation, snapshot } = change;
      return record.reverting?.operation === operation
        ? record
        : { ...record, reverting: { operation, snapshot } };
    }
    case 'abandon-revert':
      return withoutRevert(record);
    case 'doubt-revert':
      return doubtRevert(record, change.reason);
    case 'revert':
      return { ...withoutRevert(record), headParent: change.snapshot };
    case 'set-replica-count':
      return record.replicaCount === change.replicas
        ? record
        : { ...record, replicaCount: change.replicas };
    case 'set-qos':
      return { ...record, qos: change.qos };
    case 'put-clone':
      return withClones(record, [
        ...(record.clones ?? []).filter(({ volume }) => volume !== change.clone.volume),
        change.clone,
      ]);
    case 'settle-clone':
      return settleClone(record, change.volume);
    case 'drop-clone': {
      const others = (record.clones ?? []).filter(({ volume }) => volume !== change.volume);
      return others.length === (record.clones ?? []).length ? record : withClones(record, others);
    }
    case 'control-rebuild':
      return controlRebuild(record, change.control);
    case 'set-content':
      return changeContent(record, change);
    case 'disown-content':
      return disownContent(record);
    case 'raise-epoch':
      return change.epoch > record.epoch ? { ...record, epoch: change.epoch } : record;
    case 'set-attachment':
      return { ...record, attachment: change.attachment };
    case 'set-clean':
      return { ...record, clean: change.clean };
  }
}

/** An event that has led to the present state already, sent again by a resumed saga, changes nothing. */
function stateAfter(record: VolumeRecord, event: VolumeEvent): VolumeState {
  if (VOLUME_MACHINE.can(record.state, event)) return VOLUME_MACHINE.next(record.state, event);
  const leadsHere = Object.values(VOLUME_MACHINE.table).some(
    (edges) => edges[event] === record.state,
  );
  if (leadsHere) return record.state;
  throw lariatError(
    'VOLUME_BUSY',
    `Volume '${record.name}' is ${record.state}: '${event}' is not possible now.`,
    {
      volume: record.id,
      state: record.state,
    },
  );
}

function dropSnapshot(record: VolumeRecord, id: string): VolumeRecord {
  const dropped = record.snapshots.find((snapshot) => snapshot.id === id);
  if (dropped === undefined) return record;
  const snapshots = record.snapshots
    .filter((snapshot) => snapshot.id !== id)
    .map((snapshot) =>
      snapshot.parent === id ? { ...snapshot, parent: dropped.parent } : snapshot,
    );
  return {
    ...record,
    snapshots,
    headParent: record.headParent === id ? dropped.parent : record.headParent,
  };
}

/** The first one stands: a snapshot's content never changes. */
function setChecksum(record: VolumeRecord, id: string, sha256: string): VolumeRecord {
  const found = record.snapshots.find((snapshot) => snapshot.id === id);
  if (found === undefined || found.sha256 !== undefined) return record;
  const snapshots = record.snapshots.map((snapshot) =>
    snapshot === found ? { ...snapshot, sha256 } : snapshot,
  );
  return { ...record, snapshots };
}

function withoutRevert(record: VolumeRecord): VolumeRecord {
  const { reverting, ...rest } = record;
  return reverting === undefined ? record : rest;
}

/** In a store that was set back the copies decide, not what this one has of a revert. */
function doubtRevert(record: VolumeRecord, reason: string): VolumeRecord {
  if (record.inDoubt !== undefined || record.reverting === undefined) return record;
  return { ...record, inDoubt: [reason], reverting: { ...record.reverting, isUnknown: true } };
}

function withClones(
  { clones: _before, ...record }: VolumeRecord,
  clones: readonly CloneRecord[],
): VolumeRecord {
  return clones.length === 0 ? record : { ...record, clones };
}

function settleClone(record: VolumeRecord, volume: string): VolumeRecord {
  const { clones = [] } = record;
  if (!clones.some((clone) => clone.volume === volume && clone.state === 'creating')) return record;
  const settled = clones.map((clone): CloneRecord =>
    clone.volume === volume ? { ...clone, state: 'ready' } : clone,
  );
  return withClones(record, settled);
}

function controlRebuild(record: VolumeRecord, asked: Partial<RebuildControl>): VolumeRecord {
  const before = record.rebuild ?? DEFAULT_REBUILD_CONTROL;
  const rebuild = { ...before, ...asked };
  const isSame = rebuild.paused === before.paused && rebuild.mibPerSecond === before.mibPerSecond;
  return isSame ? record : { ...record, rebuild };
}
