import { BUCKETS, type ImageRecord, lariatError } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { DELETED_KEEP_MS, MarkBucket, RecordBucket, type Versioned } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import { type ImageChange, applyImageChanges } from '../domain/apply-change.js';
import { ImageNames } from './image-names.js';

/** The images on record; this service alone writes them. */
export class ImageStore {
  private constructor(
    private readonly records: RecordBucket<ImageRecord>,
    readonly names: ImageNames,
    readonly deleted: MarkBucket,
  ) {}

  static async open(connection: NatsConnection, clock: Clock): Promise<ImageStore> {
    const records = await RecordBucket.open<ImageRecord>({
      connection,
      bucket: BUCKETS.images,
      kind: 'image',
      nowMs: () => clock.nowMs(),
    });
    const deleted = await MarkBucket.open(connection, BUCKETS.deletedImages, DELETED_KEEP_MS);
    return new ImageStore(records, await ImageNames.open(connection), deleted);
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

  /** As the cache last heard of it. */
  cached(id: string): ImageRecord | undefined {
    return this.records.cached(id)?.value;
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
    const changed = await this.records.change(
      id,
      (record) => {
        const changes = typeof decide === 'function' ? decide(record) : decide;
        const { record: after, events } = applyImageChanges(record, changes);
        return after === record ? undefined : { value: after, events };
      },
      actor,
    );
    if (changed === undefined) throw imageNotFound(id);
    return changed.value;
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
