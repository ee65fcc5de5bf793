import {
  type KeptRecords,
  type RecordKind,
  type RecordPosition,
  comparePositions,
  positionOf,
} from '@lariat/contracts';
import type { Database, RootDatabase } from 'lmdb';
import type { KeptRecord } from '../../ports/journal.port.js';

/** The copies of one kind of record, by id: one replaces an older one only. */
export class LmdbKeptCopies<Kind extends RecordKind> {
  private readonly copies: Database<KeptRecords[Kind], string>;
  /** Where the copies stand: looked at with every inventory. */
  private readonly positions = new Map<string, RecordPosition>();

  constructor(
    private readonly root: RootDatabase<unknown, string>,
    name: string,
    /** Looked at within the transaction: a copy that comes after the last part has gone would stay for ever. */
    private readonly ownsPartOf: (id: string) => boolean,
  ) {
    this.copies = root.openDB<KeptRecords[Kind], string>({ name, encoding: 'json' });
    for (const { key, value } of this.copies.getRange()) this.positions.set(key, positionOf(value));
  }

  async keep(record: KeptRecords[Kind]): Promise<KeptRecord | undefined> {
    const position = positionOf(record);
    const kept = await this.root.transaction((): KeptRecord | undefined => {
      if (!this.ownsPartOf(record.id)) return undefined;
      const known = this.copies.get(record.id);
      const held = known === undefined ? undefined : positionOf(known);
      // One that comes late, or from a store that was set back, never replaces what is newer.
      if (held !== undefined && comparePositions(held, position) >= 0)
        return { held, isSame: JSON.stringify(known) === JSON.stringify(record) };
      void this.copies.put(record.id, record);
      return { held: position, isSame: true };
    });
    if (kept !== undefined) this.positions.set(record.id, kept.held);
    return kept;
  }

  position(id: string): RecordPosition | undefined {
    return this.positions.get(id);
  }

  get(id: string): KeptRecords[Kind] | undefined {
    return this.copies.get(id);
  }

  list(): readonly KeptRecords[Kind][] {
    return Array.from(this.copies.getRange(), ({ value }) => value);
  }

  async drop(id: string): Promise<void> {
    await this.copies.remove(id);
    this.positions.delete(id);
  }
}
