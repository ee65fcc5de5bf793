import {
  type CloneRecord,
  type ImageRecord,
  type SnapshotRecord,
  type VolumeRecord,
  isAtRest,
  lariatError,
  robustnessOf,
} from '@lariat/contracts';
import { operationInProgress } from './apply-change.js';
import { sayHosts } from './attachment-hosts.js';
import { volumeInDoubt } from './volume-in-doubt.js';

/** A snapshot chain longer than this makes reads slow and rebuilds long. */
export const MAX_SNAPSHOTS = 250;

function assertNotClaimed(record: VolumeRecord, operation: string | null): void {
  if (record.operation !== null && record.operation !== operation)
    throw operationInProgress(record);
}

/** Each `assertCan…` says whether the operation (null: one that is to begin) may go on with the record. */
export function assertCanDelete(record: VolumeRecord, operation: string | null): void {
  assertNotClaimed(record, operation);
  if (record.attachment !== null) throw attached(record, 'deleted');
  const begun = (record.clones ?? []).filter(({ state }) => state === 'creating');
  if (begun.length > 0) {
    throw lariatError(
      'CLONE_IN_PROGRESS',
      `Volume '${record.name}' is being read for ${namesOf(begun)}: wait until that is done, or cancel it; deleting it is safe then.`,
      { volume: record.id, clones: begun.map(({ volume }) => volume) },
    );
  }
}

const namesOf = (clones: readonly CloneRecord[]): string =>
  clones.map(({ kind = 'clone', name }) => `${kind} '${name}'`).join(', ');

/** Whether a clone, or an image, may be made of the volume: of the snapshot, or (null) of what it holds now. */
export function assertCanClone(
  record: VolumeRecord,
  operation: string | null,
  snapshot: string | null,
): void {
  assertNotClaimed(record, operation);
  if (snapshot !== null) findSnapshot(record, snapshot);
  if (!isAtRest(record)) {
    throw lariatError(
      'VOLUME_BUSY',
      `Volume '${record.name}' is ${record.state}: it can be cloned, or made an image of, when it is attached or detached.`,
      { volume: record.id, state: record.state },
    );
  }
  assertHealthyReplica(record, 'to read');
  if (snapshot === null) assertRoomForSnapshot(record);
}

/** Whether a volume of that size may be made from the image. */
export function assertImageFits(image: ImageRecord, sizeBytes: number): void {
  if (image.state !== 'ready') {
    throw lariatError(
      'IMAGE_NOT_READY',
      `Image '${image.name}' is ${image.state}: a volume is made from one that is ready. See 'lariat image get ${image.name}'.`,
      { image: image.id, state: image.state },
    );
  }
  if (sizeBytes < image.sizeBytes) {
    throw lariatError(
      'SIZE_TOO_SMALL',
      `Image '${image.name}' has ${image.sizeBytes} bytes, and a volume of ${sizeBytes} can't hold it: make it larger, or leave the size out.`,
      { image: image.id, imageBytes: image.sizeBytes, sizeBytes },
    );
  }
}

function assertHealthyReplica(record: VolumeRecord, what: string): void {
  if (robustnessOf(record) !== 'faulted') return;
  throw lariatError('VOLUME_FAULTED', `Volume '${record.name}' has no healthy replica ${what}.`, {
    volume: record.id,
  });
}

function assertRoomForSnapshot(record: VolumeRecord): void {
  if (record.snapshots.length < MAX_SNAPSHOTS) return;
  throw lariatError(
    'SNAPSHOT_LIMIT',
    `Volume '${record.name}' has ${MAX_SNAPSHOTS} snapshots; delete some first.`,
    { volume: record.id },
  );
}

export function assertCanAttach(
  record: VolumeRecord,
  operation: string | null,
  wanted: { readonly node: string; readonly force: boolean },
): void {
  assertNotClaimed(record, operation);
  // The operation's own second run finds what its first one put there.
  const isOwn = operation !== null && record.operation === operation;
  if (record.attachment !== null && !isOwn) {
    const { node: holder, frontend, epoch, hostNqns } = record.attachment;
    if (holder === wanted.node) {
      throw lariatError(
        'VOLUME_ATTACHED',
        `Volume '${record.name}' is attached on node '${holder}' already, with frontend '${frontend}'${sayHosts(record.attachment)}: detach it first ('lariat volume detach ${record.name}').`,
        {
          ...{ volume: record.id, node: holder, frontend, epoch },
          ...(hostNqns === undefined ? {} : { hostNqns }),
        },
      );
    }
    if (!wanted.force) {
      throw lariatError(
        'VOLUME_ATTACHED_ELSEWHERE',
        `Volume '${record.name}' is attached on node '${holder}': detach it there first ('lariat volume detach ${record.name}'). If that node is dead or cut off, attach with force: what it still writes is refused from then on.`,
        { volume: record.id, node: holder, epoch },
      );
    }
  }
  if (record.inDoubt !== undefined) throw volumeInDoubt(record);
  if (robustnessOf(record) === 'faulted') {
    throw lariatError(
      'VOLUME_FAULTED',
      `No replica of volume '${record.name}' holds all acknowledged writes. See 'lariat replica list ${record.name}' for why each one failed.`,
      { volume: record.id },
    );
  }
}

export function assertCanDetach(record: VolumeRecord, operation: string | null): void {
  assertNotClaimed(record, operation);
  if (record.attachment === null) {
    throw lariatError('VOLUME_NOT_ATTACHED', `Volume '${record.name}' is not attached.`, {
      volume: record.id,
    });
  }
}

export function assertCanExpand(
  record: VolumeRecord,
  operation: string | null,
  sizeBytes: number,
): void {
  assertNotClaimed(record, operation);
  if (sizeBytes < record.sizeBytes) {
    throw lariatError(
      'VOLUME_SHRINK',
      `Volume '${record.name}' has ${record.sizeBytes} bytes; it can't be made smaller (${sizeBytes}).`,
      { volume: record.id, sizeBytes: record.sizeBytes },
    );
  }
  if (record.attachment?.frontend === 'loop' && sizeBytes > record.sizeBytes) {
    throw lariatError(
      'VOLUME_SIZE_FIXED',
      `Volume '${record.name}' is attached with frontend 'loop', whose device keeps its size: detach it ('lariat volume detach ${record.name}'), expand it, and attach it again.`,
      { volume: record.id, frontend: 'loop' },
    );
  }
  assertHealthyReplica(record, 'that could grow');
}

export function assertCanUpdate(record: VolumeRecord, operation: string | null): void {
  assertNotClaimed(record, operation);
  if (isAtRest(record)) return;
  throw lariatError(
    'VOLUME_BUSY',
    `Volume '${record.name}' is ${record.state}: change it when it is attached or detached.`,
    { volume: record.id, state: record.state },
  );
}

export function assertCanSnapshot(
  record: VolumeRecord,
  operation: string | null,
  id: string | null,
  name: string,
): void {
  assertNotClaimed(record, operation);
  if (record.snapshots.some((snapshot) => snapshot.name === name && snapshot.id !== id)) {
    throw lariatError(
      'SNAPSHOT_NAME_TAKEN',
      `Volume '${record.name}' has a snapshot '${name}' already; choose another name.`,
      {
        volume: record.id,
        snapshot: name,
      },
    );
  }
  assertRoomForSnapshot(record);
  assertHealthyReplica(record, 'to take a snapshot of');
}

export function assertCanDeleteSnapshot(
  record: VolumeRecord,
  operation: string | null,
  snapshot: SnapshotRecord,
): void {
  assertNotClaimed(record, operation);
  const clones = (record.clones ?? []).filter((clone) => clone.snapshot === snapshot.id);
  if (clones.length > 0) {
    throw lariatError(
      'SNAPSHOT_IN_USE',
      `Snapshot '${snapshot.name}' is needed by ${namesOf(clones)}: delete the clones that share it, and wait for images that are being made of it, or cancel them.`,
      { volume: record.id, snapshot: snapshot.id, clones: clones.map(({ volume }) => volume) },
    );
  }
  const children = childrenOf(record, snapshot.id);
  if (children.length > 1) {
    throw lariatError(
      'SNAPSHOT_IN_USE',
      `Snapshot '${snapshot.name}' has ${children.length} children (${children.join(', ')}): delete all but one of them first.`,
      { volume: record.id, snapshot: snapshot.id },
    );
  }
}

export function assertCanRevert(record: VolumeRecord, operation: string | null): void {
  assertNotClaimed(record, operation);
  if (record.attachment !== null) throw attached(record, 'reverted');
  if (record.inDoubt !== undefined) throw volumeInDoubt(record);
  assertHealthyReplica(record, 'to revert');
}

/** What stands on a snapshot: other snapshots, and the head. */
export function childrenOf(record: VolumeRecord, snapshot: string): readonly string[] {
  const children = record.snapshots
    .filter((other) => other.parent === snapshot)
    .map((other) => other.name);
  return record.headParent === snapshot ? [...children, 'the volume itself'] : children;
}

export function findSnapshot(record: VolumeRecord, reference: string): SnapshotRecord {
  const found = record.snapshots.find(
    (snapshot) => snapshot.id === reference || snapshot.name === reference,
  );
  if (found === undefined) {
    throw lariatError(
      'SNAPSHOT_NOT_FOUND',
      `Volume '${record.name}' has no snapshot '${reference}'.`,
      {
        volume: record.id,
        snapshot: reference,
      },
    );
  }
  return found;
}

function attached(record: VolumeRecord, what: string): Error {
  return lariatError(
    'VOLUME_ATTACHED',
    `Volume '${record.name}' is attached on node '${record.attachment?.node}' and can't be ${what}: detach it first ('lariat volume detach ${record.name}').`,
    { volume: record.id, node: record.attachment?.node },
  );
}
