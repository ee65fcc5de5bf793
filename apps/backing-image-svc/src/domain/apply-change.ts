import {
  type ImageChecksums,
  type ImageCopyRecord,
  type ImageFormatName,
  type ImageRecord,
  NO_CHECKSUMS,
  lariatError,
} from '@lariat/contracts';
import type { ErrorRecord, Json } from '@lariat/kernel';
import { EVENT_NAMES, IMAGE_MACHINE, type ImageEvent } from './image-machine.js';

/** A change of one image's record. Applying the same one twice gives the same record: a resumed saga sends it again. */
export type ImageChange =
  /** The operation takes the image; refused while another has it. */
  | { readonly type: 'claim'; readonly operation: string }
  | { readonly type: 'release'; readonly operation: string }
  | { readonly type: 'move'; readonly event: ImageEvent }
  | { readonly type: 'set-content'; readonly content: ImageContent }
  | { readonly type: 'set-size'; readonly sizeBytes: number }
  | { readonly type: 'fail'; readonly failure: ErrorRecord }
  | { readonly type: 'put-copy'; readonly copy: ImageCopyRecord }
  | { readonly type: 'drop-copy'; readonly disk: string; readonly reason: string }
  /** A volume is to stand on the ready copies of these disks. */
  | { readonly type: 'want-copies'; readonly disks: readonly string[]; readonly at: string };

export interface ImageContent {
  readonly format: ImageFormatName;
  readonly sizeBytes: number;
  readonly contentBytes: number;
  readonly dataClusters: number;
  readonly checksums: ImageChecksums;
}

interface NewEvent {
  readonly type: string;
  readonly data: Json;
}

export interface AppliedChanges {
  readonly record: ImageRecord;
  readonly events: readonly NewEvent[];
}

/** The changes together, or an error and none of them. Pure; the very record when nothing changes. */
export function applyImageChanges(
  before: ImageRecord,
  changes: readonly ImageChange[],
): AppliedChanges {
  let record = before;
  const events: NewEvent[] = [];
  for (const change of changes) {
    const after = applyOne(record, change, events);
    record = after;
  }
  return { record, events };
}

function applyOne(record: ImageRecord, change: ImageChange, events: NewEvent[]): ImageRecord {
  switch (change.type) {
    case 'claim': {
      if (record.operation === change.operation) return record;
      if (record.operation !== null) throw imageBusy(record, record.operation);
      return { ...record, operation: change.operation };
    }
    case 'release':
      return record.operation === change.operation ? { ...record, operation: null } : record;
    case 'move':
      return move(record, change.event, events);
    case 'fail': {
      if (record.state === 'failed') return record;
      const failed = { ...record, failure: change.failure, checksums: NO_CHECKSUMS };
      return move(failed, 'fail', events, { failure: { ...change.failure } });
    }
    case 'set-content':
      return { ...record, ...change.content };
    case 'set-size':
      return record.sizeBytes === change.sizeBytes
        ? record
        : { ...record, sizeBytes: change.sizeBytes };
    case 'put-copy':
      return putCopy(record, change.copy, events);
    case 'drop-copy': {
      const { disk, reason } = change;
      const dropped = record.copies.find((copy) => copy.disk === disk);
      if (dropped === undefined) return record;
      events.push({ type: 'copy-dropped', data: { node: dropped.node, disk, reason } });
      return { ...record, copies: record.copies.filter((copy) => copy !== dropped) };
    }
    case 'want-copies': {
      const copies = record.copies.map((copy) =>
        copy.state === 'ready' && change.disks.includes(copy.disk)
          ? { ...copy, wantedAt: change.at }
          : copy,
      );
      return { ...record, copies };
    }
  }
}

function putCopy(record: ImageRecord, copy: ImageCopyRecord, events: NewEvent[]): ImageRecord {
  const { node, disk, state } = copy;
  const at = record.copies.findIndex((one) => one.disk === disk);
  if (record.copies[at]?.state !== state)
    events.push({ type: `copy-${PAST[state]}`, data: { node, disk } });
  const copies = at === -1 ? [...record.copies, copy] : record.copies.with(at, copy);
  return { ...record, copies };
}

const PAST: Readonly<Record<ImageCopyRecord['state'], string>> = {
  fetching: 'started',
  ready: 'became-ready',
  corrupt: 'found-corrupt',
  deleting: 'deletion-started',
};

function move(
  record: ImageRecord,
  event: ImageEvent,
  events: NewEvent[],
  data: Json = {},
): ImageRecord {
  if (!IMAGE_MACHINE.can(record.state, event)) {
    const { state } = record;
    if (hasMoved(state, event)) return record;
    throw imageNotReady(record, `is ${state}`);
  }
  const state = IMAGE_MACHINE.next(record.state, event);
  if (state === record.state) return record;
  events.push({ type: EVENT_NAMES[event], data: data ?? {} });
  return { ...record, state };
}

/** Whether the event is what led to the state: sent again, it changes nothing. */
const hasMoved = (state: ImageRecord['state'], event: ImageEvent): boolean =>
  Object.values(IMAGE_MACHINE.table).some((row) => row[event] === state);

export function imageBusy({ name, id }: ImageRecord, operation: string): Error {
  return lariatError(
    'OPERATION_IN_PROGRESS',
    `Operation ${operation} works on image '${name}': wait for it ('lariat operation wait ${operation}') and try again.`,
    { image: id, operation },
  );
}

export function imageNotReady({ name, id, state }: ImageRecord, why: string): Error {
  return lariatError('IMAGE_NOT_READY', `Image '${name}' ${why}.`, { image: id, state });
}
