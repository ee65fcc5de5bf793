import { BUCKETS, type VolumeChange, type VolumeRecord, lariatError } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { RecordBucket, type Versioned } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import { applyVolumeChanges } from '../domain/apply-change.js';
import { VolumeNames } from './volume-names.js';

/** The volumes on record; volume-svc alone writes them. */
export class VolumeStore {
  private readonly idByName = new Map<string, string>();
  private readonly nameById = new Map<string, string>();

  private constructor(
    private readonly records: RecordBucket<VolumeRecord>,
    readonly names: VolumeNames,
  ) {
    for (const [id, { value }] of records.cachedEntries()) this.index(id, value);
    records.listen((id, record) => this.index(id, record));
  }

  static async open(connection: NatsConnection, clock: Clock): Promise<VolumeStore> {
    const records = await RecordBucket.open<VolumeRecord>({
      connection,
      bucket: BUCKETS.volumes,
      kind: 'volume',
      nowMs: () => clock.nowMs(),
    });
    return new VolumeStore(records, await VolumeNames.open(connection));
  }

  /** By name or id; VOLUME_NOT_FOUND only after JetStream itself has said so. */
  async find(reference: string): Promise<VolumeRecord> {
    const cached = this.records.cached(this.idByName.get(reference) ?? reference);
    if (cached !== undefined) return cached.value;
    const id = (await this.names.volumeOf(reference)) ?? reference;
    return (await this.findFresh(id)).value;
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
    const changed = await this.records.change(
      id,
      (record) => {
        const changes = typeof decide === 'function' ? decide(record) : decide;
        const { record: after, events } = applyVolumeChanges(record, operation, changes);
        if (after === record) return undefined;
        return { value: after, events };
      },
      actor,
    );
    if (changed === undefined) throw volumeNotFound(id);
    return changed.value;
  }

  /** Takes the record away; one that is gone already is fine. */
  async remove(id: string, type: string, actor: string): Promise<void> {
    const found = await this.records.read(id);
    if (found === undefined) return;
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
