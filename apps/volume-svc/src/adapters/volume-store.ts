import {
  BUCKETS,
  type RecordPosition,
  type VolumeChange,
  type VolumeRecord,
  comparePositions,
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
import { applyVolumeChanges } from '../domain/apply-change.js';
import { isWorthKeeping, staleReason } from '../domain/record-copies.js';
import { volumeInDoubt } from '../domain/volume-in-doubt.js';
import { VolumeNames } from './volume-names.js';

/** The volumes on record; volume-svc alone writes them. */
export class VolumeStore {
  private readonly idByName = new Map<string, string>();
  private readonly nameById = new Map<string, string>();

  private constructor(
    private readonly records: RecordBucket<VolumeRecord>,
    readonly names: VolumeNames,
    readonly deleted: MarkBucket,
    readonly copies: RecordCopies<'volume'>,
  ) {
    for (const [id, { value }] of records.cachedEntries()) this.index(id, value);
    records.listen((id, record) => this.index(id, record));
  }

  static async open(
    connection: NatsConnection,
    clock: Clock,
    copies: RecordCopies<'volume'>,
  ): Promise<VolumeStore> {
    const records = await RecordBucket.open<VolumeRecord>({
      connection,
      bucket: BUCKETS.volumes,
      kind: 'volume',
      nowMs: () => clock.nowMs(),
    });
    const deleted = await MarkBucket.open(connection, BUCKETS.deleted, DELETED_KEEP_MS);
    return new VolumeStore(records, await VolumeNames.open(connection), deleted, copies);
  }

  /** What lists of them are made of. */
  get source(): RecordSource<VolumeRecord> {
    return this.records;
  }

  /** By name or id; VOLUME_NOT_FOUND only after JetStream itself has said so. */
  async find(reference: string): Promise<VolumeRecord> {
    const cached = this.records.cached(this.idByName.get(reference) ?? reference);
    if (cached !== undefined) return cached.value;
    const id = (await this.names.volumeOf(reference)) ?? reference;
    return (await this.findFresh(id)).value;
  }

  /** By id, from JetStream; undefined when there is none. */
  read(id: string): Promise<Versioned<VolumeRecord> | undefined> {
    return this.records.read(id);
  }

  /** As the cache last heard of it. */
  cached(id: string): VolumeRecord | undefined {
    return this.records.cached(id)?.value;
  }

  /** By id, from JetStream. */
  async findFresh(id: string): Promise<Versioned<VolumeRecord>> {
    const found = await this.records.read(id);
    if (found === undefined) throw volumeNotFound(id);
    return found;
  }

  list(): readonly VolumeRecord[] {
    return Array.from(this.records.cachedEntries(), ([, { value }]) => value);
  }

  /** Those that there are now, from JetStream. */
  async listFresh(): Promise<readonly VolumeRecord[]> {
    return Array.from((await this.records.readAll()).values(), ({ value }) => value);
  }

  /** Makes the record, or adopts the one that an earlier run of the same operation made. */
  async create(record: VolumeRecord, actor: string): Promise<VolumeRecord> {
    const there = await this.records.read(record.id);
    return (there ?? (await this.records.create(record.id, record, [], actor))).value;
  }

  /** Applies the changes together or not at all; `check` looks at the very record that is changed. */
  async change(
    id: string,
    operation: string | null,
    decide: readonly VolumeChange[] | ((record: VolumeRecord) => readonly VolumeChange[]),
    actor: string,
  ): Promise<VolumeRecord> {
    let before: VolumeRecord | undefined;
    const changed = await this.records.change(
      id,
      (record) => {
        const changes = typeof decide === 'function' ? decide(record) : decide;
        const { record: after, events } = applyVolumeChanges(record, operation, changes);
        before = record;
        if (after === record) return undefined;
        // One in doubt must not seem newer than the copies that are to settle it.
        const { revision } = positionOf(record);
        const next = record.inDoubt === undefined ? revision + 1 : revision;
        return { value: { ...after, revision: next }, events };
      },
      actor,
    );
    if (changed === undefined) throw volumeNotFound(id);
    const after = changed.value;
    if (before !== undefined && before !== after && isWorthKeeping(before, after))
      this.copies.spread(after);
    return after;
  }

  /**
   * Resolves when the record is kept beside the replicas as well, so that the loss of the store can't take it back. To be
   * awaited before a change of the in-sync set, or the start of an engine, counts. A node that keeps a newer record than
   * the store puts the volume in doubt: VOLUME_IN_DOUBT. `newcomers`: replicas that the change put on record.
   */
  async confirm(record: VolumeRecord, newcomers: readonly string[] = []): Promise<void> {
    if (record.inDoubt !== undefined) throw volumeInDoubt(record);
    for (const { node, held } of await this.copies.keep(record, newcomers)) {
      if (
        comparePositions(held, positionOf(record)) > 0 &&
        (await this.hasReached(record.id, held))
      )
        continue;
      throw volumeInDoubt(await this.doubt(record.id, staleReason(node)));
    }
  }

  /** As `confirm`, for what is true whoever keeps it: a copy that is late is sent again. */
  tell(record: VolumeRecord): Promise<void> {
    return keptInTime(this.confirm(record));
  }

  /** Whether the store has come as far as a copy of it, or further. */
  hasReached(id: string, held: RecordPosition): Promise<boolean> {
    return hasReached(async () => (await this.records.read(id))?.value, held);
  }

  /** Nothing but a delete or a recovery may use the volume from now on. */
  async doubt(id: string, reason: string): Promise<VolumeRecord> {
    const changed = await this.records.change(
      id,
      (record) =>
        record.inDoubt !== undefined
          ? undefined
          : {
              value: { ...record, inDoubt: [reason] },
              events: [{ type: 'in-doubt', data: { reasons: [reason] } }],
            },
      'volume-svc',
    );
    if (changed === undefined) throw volumeNotFound(id);
    return changed.value;
  }

  /** Puts a record in the place of the one that a recovery has looked at; undefined when there was none. */
  async restore(
    record: VolumeRecord,
    previous: Versioned<VolumeRecord> | undefined,
    actor: string,
  ): Promise<VolumeRecord> {
    const { state, generation = 0, inDoubt = null } = record;
    const event = { type: 'recovered', data: { state, generation, inDoubt } };
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
    // First: a node that was away may drop its replica only when this is known.
    await this.deleted.add(id);
    await this.records.remove(id, found, [{ type, data: { name: found.value.name } }], actor);
  }

  private index(id: string, record: VolumeRecord | null): void {
    const name = this.nameById.get(id);
    if (name !== undefined && name !== record?.name) {
      this.nameById.delete(id);
      if (this.idByName.get(name) === id) this.idByName.delete(name);
    }
    if (record !== null && name !== record.name) {
      this.nameById.set(id, record.name);
      this.idByName.set(record.name, id);
    }
  }
}

export function volumeNotFound(reference: string): Error {
  return lariatError(
    'VOLUME_NOT_FOUND',
    `There is no volume '${reference}'. See 'lariat volume list'.`,
    {
      volume: reference,
    },
  );
}
