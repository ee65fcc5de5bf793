import {
  BUCKETS,
  type ImageRecord,
  type RecordPosition,
  lariatError,
  positionOf,
} from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import {
  DELETED_KEEP_MS,
  MarkBucket,
  RecordBucket,
  type RecordCopies,
  type Versioned,
  hasReached,
  keptInTime,
} from '@lariat/messaging';
import type { RecordSource } from '@lariat/read-model';
import type { NatsConnection } from '@nats-io/nats-core';
import { type ImageChange, applyImageChanges } from '../domain/apply-change.js';
import { isWorthKeeping } from '../domain/record-copies.js';
import { ImageNames } from './image-names.js';

/** The images on record; this service alone writes them. */
export class ImageStore {
  private constructor(
    private readonly records: RecordBucket<ImageRecord>,
    readonly names: ImageNames,
    readonly deleted: MarkBucket,
    readonly copies: RecordCopies<'image'>,
  ) {}

  static async open(
    connection: NatsConnection,
    clock: Clock,
    copies: RecordCopies<'image'>,
  ): Promise<ImageStore> {
    const records = await RecordBucket.open<ImageRecord>({
      connection,
      bucket: BUCKETS.images,
      kind: 'image',
      nowMs: () => clock.nowMs(),
    });
    const deleted = await MarkBucket.open(connection, BUCKETS.deletedImages, DELETED_KEEP_MS);
    return new ImageStore(records, await ImageNames.open(connection), deleted, copies);
  }

  /** By name or id; IMAGE_NOT_FOUND only after JetStream itself has said so. */
  async find(reference: string): Promise<ImageRecord> {
    const cached = this.records.cached(reference) ?? this.cachedByName(reference);
    if (cached !== undefined) return cached.value;
    const id = (await this.names.imageOf(reference)) ?? reference;
    const found = await this.records.read(id);
    if (found === undefined) throw imageNotFound(reference);
    return found.value;
  }

  /** By id, from JetStream; undefined when there is none. */
  async read(id: string): Promise<ImageRecord | undefined> {
    return (await this.records.read(id))?.value;
  }

  /** The same, with what `restore` compares. */
  readVersioned(id: string): Promise<Versioned<ImageRecord> | undefined> {
    return this.records.read(id);
  }

  /** As the cache last heard of it. */
  cached(id: string): ImageRecord | undefined {
    return this.records.cached(id)?.value;
  }

  /** What lists of them are made of. */
  get source(): RecordSource<ImageRecord> {
    return this.records;
  }

  list(): readonly ImageRecord[] {
    return Array.from(this.records.cachedEntries(), ([, { value }]) => value);
  }

  /** Makes the record, or adopts the one that an earlier run of the same operation made. */
  async create(record: ImageRecord, actor: string): Promise<ImageRecord> {
    const there = await this.records.read(record.id);
    if (there !== undefined) return there.value;
    const { name, source } = record;
    const event = { type: 'created', data: { name, source: { ...source } } };
    return (await this.records.create(record.id, record, [event], actor)).value;
  }

  /** Applies the changes together or not at all; `decide` looks at the very record that is changed. */
  async change(
    id: string,
    decide: readonly ImageChange[] | ((record: ImageRecord) => readonly ImageChange[]),
    actor: string,
  ): Promise<ImageRecord> {
    let isKept = false;
    const changed = await this.records.change(
      id,
      (record) => {
        const changes = typeof decide === 'function' ? decide(record) : decide;
        const { record: after, events } = applyImageChanges(record, changes);
        isKept = after !== record && isWorthKeeping(record, after);
        if (after === record) return undefined;
        const revision = positionOf(record).revision + 1;
        return { value: isKept ? { ...after, revision } : after, events };
      },
      actor,
    );
    if (changed === undefined) throw imageNotFound(id);
    if (isKept) this.copies.spread(changed.value);
    return changed.value;
  }

  /** Waits, though not for long, until nodes with the image's copies keep its record, so that the loss of the store can't take it back. */
  tell(record: ImageRecord): Promise<void> {
    return keptInTime(this.copies.keep(record));
  }

  /** Whether the store has come as far as a copy of a record, or further. */
  hasReached(id: string, held: RecordPosition): Promise<boolean> {
    return hasReached(() => this.read(id), held);
  }

  /** Puts a record in the place of the one that a recovery has looked at; undefined when there was none. */
  async restore(
    record: ImageRecord,
    previous: Versioned<ImageRecord> | undefined,
    actor: string,
  ): Promise<ImageRecord> {
    const { state, generation = 0 } = record;
    const event = { type: 'recovered', data: { state, generation } };
    const written =
      previous === undefined
        ? await this.records.create(record.id, record, [event], actor)
        : await this.records.update(record.id, previous, record, [event], actor);
    return written.value;
  }

  /** Takes the record away; one that is gone already is fine. */
  async remove(id: string, type: string, actor: string): Promise<void> {
    const found = await this.records.read(id);
    if (found === undefined) return;
    // First: what a node that was away still has may go only when this is known.
    await this.deleted.add(id);
    await this.records.remove(id, found, [{ type, data: { name: found.value.name } }], actor);
  }

  private cachedByName(name: string): Versioned<ImageRecord> | undefined {
    for (const [, versioned] of this.records.cachedEntries())
      if (versioned.value.name === name) return versioned;
    return undefined;
  }
}

export function imageNotFound(reference: string): Error {
  return lariatError(
    'IMAGE_NOT_FOUND',
    `There is no image '${reference}'. See 'lariat image list'.`,
    { image: reference },
  );
}
