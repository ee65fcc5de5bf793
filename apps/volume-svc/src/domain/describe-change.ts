import type { VolumeChange, VolumeRecord } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';

/** An event of the volume, to be stored with the change. */
export interface VolumeHappening {
  readonly type: string;
  readonly data: Json;
}

/** What is told of a change that was made; undefined: nothing. */
export function describeChange(
  before: VolumeRecord,
  after: VolumeRecord,
  change: VolumeChange,
): VolumeHappening | undefined {
  switch (change.type) {
    case 'transition':
      return {
        type: change.event === 'created' ? 'created' : after.state,
        data: { from: before.state, name: after.name },
      };
    case 'resize':
      return {
        type: 'expanded',
        data: { fromBytes: before.sizeBytes, sizeBytes: after.sizeBytes },
      };
    case 'fault-replica':
      return { type: 'replica-faulted', data: { replica: change.replica, reason: change.reason } };
    case 'sync-replica':
      return { type: 'replica-synced', data: { replica: change.replica } };
    case 'drop-replica':
      return { type: 'replica-removed', data: { replica: change.replica } };
    case 'retire-replica':
      return {
        type:
          after.replicas.length < before.replicas.length ? 'replica-removed' : 'replica-retired',
        data: { replica: change.replica },
      };
    case 'put-replica':
      return before.replicas.some((replica) => replica.id === change.replica.id)
        ? undefined
        : {
            type: 'replica-added',
            data: { replica: change.replica.id, node: change.replica.node },
          };
    case 'add-snapshot':
      return {
        type: 'snapshot-created',
        data: { snapshot: change.snapshot.id, name: change.snapshot.name },
      };
    case 'set-checksum':
      return {
        type: 'snapshot-verified',
        data: { snapshot: change.snapshot, sha256: change.sha256 },
      };
    case 'drop-snapshot':
      return { type: 'snapshot-deleted', data: { snapshot: change.snapshot } };
    case 'revert':
      return { type: 'reverted', data: { snapshot: change.snapshot } };
    case 'doubt-revert':
      return { type: 'in-doubt', data: { reasons: [change.reason] } };
    case 'control-rebuild':
      return { type: 'rebuild-controlled', data: { ...change.control } };
    case 'set-content':
    case 'disown-content':
      return {
        type: 'content-changed',
        data: { from: before.content.state, ...after.content },
      };
    case 'claim':
    case 'release':
    case 'begin-revert':
    case 'abandon-revert':
    case 'raise-epoch':
    case 'set-attachment':
    case 'set-clean':
    case 'settle-clone':
      return undefined;
    case 'set-replica-count':
      return {
        type: 'replica-count-changed',
        data: { from: before.replicaCount, replicas: after.replicaCount },
      };
    case 'set-qos':
      return { type: 'qos-changed', data: { ...change.qos } };
    case 'put-clone':
      return {
        type: 'clone-begun',
        data: {
          clone: change.clone.volume,
          name: change.clone.name,
          ...(change.clone.kind === undefined ? {} : { kind: change.clone.kind }),
        },
      };
    case 'drop-clone':
      return { type: 'clone-dropped', data: { clone: change.volume } };
  }
}
