import {
  CONTENT_MACHINE,
  ContentEvent,
  FormatType,
  type VolumeChange,
  type VolumeContent,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { volumeInDoubt } from './volume-in-doubt.js';

type ContentChange = Extract<VolumeChange, { type: 'set-content' }>;

/** The record after what the node of the attachment tells of its content; the same record when it is told again. */
export function changeContent(record: VolumeRecord, change: ContentChange): VolumeRecord {
  if (record.inDoubt !== undefined) throw volumeInDoubt(record);
  assertEpoch(record, change.epoch);
  const content =
    change.inside === true
      ? insideAfter(record, change)
      : contentAfter(record, record.content, change);
  return content === record.content ? record : { ...record, content };
}

/** What somebody may write who keeps no record of it is foreign; what holds a file system stays what it is. */
export function disownContent(record: VolumeRecord): VolumeRecord {
  const content = disowned(record.content);
  return content === record.content ? record : { ...record, content };
}

/** Under a header that is kept as well: who reads past it may write there. */
function disowned(content: VolumeContent): VolumeContent {
  if (CONTENT_MACHINE.can(content.state, ContentEvent.disown)) return { state: 'foreign' };
  if (content.state !== 'initialised' || content.inside === undefined) return content;
  const inside = disowned(content.inside);
  return inside === content.inside ? content : { ...content, inside };
}

/** A node that the volume was taken from since must not decide what is formatted (invariant 3). */
function assertEpoch({ id, name, state, attachment }: VolumeRecord, epoch: number): void {
  if (state === 'attached' && attachment?.epoch === epoch) return;
  throw lariatError(
    'EPOCH_STALE',
    `Volume '${name}' is not attached under epoch ${epoch}: what becomes of its content is told by the node that has it attached.`,
    { volume: id, epoch, current: attachment?.epoch ?? null },
  );
}

/** What lies under the header of an encrypted volume is led through the same states. */
function insideAfter(record: VolumeRecord, change: ContentChange): VolumeContent {
  const { id, name, content } = record;
  if (content.state !== 'initialised' || content.inside === undefined) {
    throw lariatError(
      'CONTENT_NOT_ENCRYPTED',
      `Volume '${name}' has no encryption on record (${content.state}): tell of its header first.`,
      { volume: id, content: content.state },
    );
  }
  if (change.fsType === FormatType.luks)
    throw lariatError('FILE_SYSTEM_UNSUPPORTED', `Volume '${name}' is encrypted, once.`);
  const inside = contentAfter(record, content.inside, change);
  return inside === content.inside ? content : { ...content, inside };
}

function contentAfter(
  record: VolumeRecord,
  content: VolumeContent,
  change: ContentChange,
): VolumeContent {
  switch (change.event) {
    case ContentEvent.disown:
      return disowned(content);
    case ContentEvent.intendFormat: {
      if (!CONTENT_MACHINE.can(content.state, change.event)) throw notBlank(record, content);
      // The first uuid stands: an mkfs that was begun under it is adopted by whoever reads it back.
      if (content.state === 'format-intended' && content.fsType === change.fsType) return content;
      return { state: 'format-intended', ...fileSystemOf(change) };
    }
    case ContentEvent.formatted: {
      const made = fileSystemOf(change);
      const isSame =
        'uuid' in content && content.uuid === made.uuid && content.fsType === made.fsType;
      if (isSame && content.state === 'initialised') return content;
      if (!isSame) throw notIntended(record, content, made);
      const inside = made.fsType === FormatType.luks ? { inside: { state: 'blank' } as const } : {};
      return { state: 'initialised', ...made, ...inside };
    }
  }
}

function fileSystemOf({ event, fsType, uuid }: ContentChange): { fsType: string; uuid: string } {
  if (fsType !== null && uuid !== null) return { fsType, uuid };
  throw lariatError('REQUEST_INVALID', `Event '${event}' needs fsType and uuid.`);
}

function notBlank({ id, name }: VolumeRecord, content: VolumeContent): Error {
  const what = 'uuid' in content ? `${content.fsType} ${content.uuid}` : 'data';
  return lariatError(
    'CONTENT_NOT_BLANK',
    `Volume '${name}' holds ${what} on record (${content.state}) and is never formatted: mount what it holds, or make a new volume.`,
    { volume: id, content: content.state },
  );
}

function notIntended(
  { id, name }: VolumeRecord,
  content: VolumeContent,
  made: { readonly uuid: string },
): Error {
  return lariatError(
    'CONTENT_NOT_INTENDED',
    `No format of volume '${name}' with uuid ${made.uuid} is on record (${content.state}): tell of the intent first.`,
    { volume: id, content: content.state, uuid: made.uuid },
  );
}
