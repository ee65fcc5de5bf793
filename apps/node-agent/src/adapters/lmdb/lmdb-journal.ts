import {
  comparePositions,
  lariatError,
  positionOf,
  type CommandAnswer,
  type CommandEnvelope,
  type RecordPosition,
  type VolumeRecord,
} from '@lariat/contracts';
import type { LariatError } from '@lariat/kernel';
import { type Database, open, type RootDatabase } from 'lmdb';
import { epochOf, refusal } from '../../domain/command-rules.js';
import { OWNED_KINDS, type Owned, type OwnedKind, type OwnedOf } from '../../domain/ownership.js';
import type { JournalPort, KeptRecord } from '../../ports/journal.port.js';

interface CommandEntry {
  readonly command: string;
  readonly operation: string;
  readonly intentAtMs: number;
  readonly answer: CommandAnswer | null;
  readonly touchedAtMs: number;
}

interface NoteEntry {
  readonly note: unknown;
  readonly touchedAtMs: number;
}

interface FenceEntry {
  readonly fence: number;
  readonly touchedAtMs: number;
}

type OwnedKey = [kind: string, name: string];

const MAP_SIZE_BYTES = 1024 * 1024 * 1024;

/** The journal in LMDB: one environment, a transaction a write, on disk before the write's promise settles. */
export class LmdbJournal implements JournalPort {
  private readonly root: RootDatabase<unknown, string>;
  private readonly commands: Database<CommandEntry, string>;
  private readonly fences: Database<FenceEntry, string>;
  private readonly notes: Database<NoteEntry, string>;
  private readonly epochs: Database<number, string>;
  private readonly things: Database<Owned, OwnedKey>;
  private readonly settings: Database<unknown, string>;
  private readonly copies: Database<VolumeRecord, string>;
  /** Where the copies stand: looked at with every inventory. */
  private readonly positions = new Map<string, RecordPosition>();
  /** What is on disk in `things`, by kind and name: they are looked through with every command. */
  private readonly mirror = new Map<OwnedKind, Map<string, Owned>>(
    OWNED_KINDS.map((kind) => [kind, new Map()]),
  );

  constructor(path: string) {
    this.root = open<unknown, string>({
      path,
      maxDbs: 8,
      mapSize: MAP_SIZE_BYTES,
      encoding: 'json',
      // The default acknowledges a commit before it is flushed; an intent must survive a power cut.
      overlappingSync: false,
    });
    this.commands = this.root.openDB<CommandEntry, string>({ name: 'commands', encoding: 'json' });
    this.fences = this.root.openDB<FenceEntry, string>({ name: 'fences', encoding: 'json' });
    this.notes = this.root.openDB<NoteEntry, string>({ name: 'notes', encoding: 'json' });
    this.epochs = this.root.openDB<number, string>({ name: 'epochs', encoding: 'json' });
    this.things = this.root.openDB<Owned, OwnedKey>({ name: 'owned', encoding: 'json' });
    this.settings = this.root.openDB<unknown, string>({ name: 'settings', encoding: 'json' });
    this.copies = this.root.openDB<VolumeRecord, string>({ name: 'records', encoding: 'json' });
    for (const { key, value } of this.copies.getRange()) this.positions.set(key, positionOf(value));
    for (const { value } of this.things.getRange())
      this.mirror.get(value.kind)?.set(value.name, value);
  }

  answerOf(commandId: string): CommandAnswer | undefined {
    return this.commands.get(commandId)?.answer ?? undefined;
  }

  begin(envelope: CommandEnvelope, atMs: number): Promise<LariatError | undefined> {
    const bound = epochOf(envelope.command, envelope.input);
    return this.root.transaction(() => {
      const highestFence = this.fences.get(envelope.operation)?.fence ?? 0;
      const highestEpoch = bound === undefined ? 0 : this.highestEpoch(bound.volume);
      const refused = refusal(envelope, { highestFence, highestEpoch }, atMs);
      if (refused !== undefined) return refused;
      void this.commands.put(envelope.id, {
        command: envelope.command,
        operation: envelope.operation,
        intentAtMs: atMs,
        answer: null,
        touchedAtMs: atMs,
      });
      void this.fences.put(envelope.operation, { fence: envelope.fence, touchedAtMs: atMs });
      if (bound !== undefined) void this.epochs.put(bound.volume, bound.epoch);
      return undefined;
    });
  }

  noteOf(key: string): unknown {
    return this.notes.get(key)?.note;
  }

  async note(key: string, note: unknown, atMs: number): Promise<void> {
    await this.notes.put(key, { note, touchedAtMs: atMs });
  }

  async end(commandId: string, answer: CommandAnswer, atMs: number): Promise<void> {
    const entry = this.commands.get(commandId);
    if (entry === undefined) {
      throw lariatError('RECORD_CORRUPT', `the journal holds no intent for command '${commandId}'`);
    }
    await this.commands.put(commandId, { ...entry, answer, touchedAtMs: atMs });
  }

  async prune(beforeMs: number): Promise<number> {
    let pruned = 0;
    await this.root.transaction(() => {
      for (const db of [this.commands, this.fences, this.notes]) {
        for (const { key, value } of [...db.getRange()]) {
          if (value.touchedAtMs >= beforeMs) continue;
          void db.remove(key);
          pruned += 1;
        }
      }
    });
    return pruned;
  }

  owned<Kind extends OwnedKind>(kind: Kind, name: string): OwnedOf<Kind> | undefined {
    return this.mirror.get(kind)?.get(name) as OwnedOf<Kind> | undefined;
  }

  ownedOfKind<Kind extends OwnedKind>(kind: Kind): readonly OwnedOf<Kind>[] {
    return [...(this.mirror.get(kind)?.values() ?? [])] as OwnedOf<Kind>[];
  }

  ownedBy(owner: string): readonly Owned[] {
    return OWNED_KINDS.flatMap((kind): readonly Owned[] => this.ownedOfKind(kind)).filter(
      (record) => record.owner === owner,
    );
  }

  /** The mirror follows the disk: what a reader sees has survived a crash. */
  async putOwned(record: Owned): Promise<void> {
    await this.things.put([record.kind, record.name], record);
    this.mirror.get(record.kind)?.set(record.name, record);
  }

  async dropOwned(kind: OwnedKind, name: string): Promise<void> {
    await this.things.remove([kind, name]);
    this.mirror.get(kind)?.delete(name);
  }

  async keepRecord(record: VolumeRecord): Promise<KeptRecord | undefined> {
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

  ownsPartOf(volume: string): boolean {
    if (this.owned('raid', volume) !== undefined) return true;
    return this.ownedOfKind('lvol').some((lvol) => lvol.volume === volume);
  }

  recordPosition(volume: string): RecordPosition | undefined {
    return this.positions.get(volume);
  }

  record(volume: string): VolumeRecord | undefined {
    return this.copies.get(volume);
  }

  records(): readonly VolumeRecord[] {
    return Array.from(this.copies.getRange(), ({ value }) => value);
  }

  async dropRecord(volume: string): Promise<void> {
    await this.copies.remove(volume);
    this.positions.delete(volume);
  }

  highestEpoch(volume: string): number {
    return this.epochs.get(volume) ?? 0;
  }

  setting(key: string): unknown {
    return this.settings.get(key);
  }

  async putSetting(key: string, value: unknown): Promise<void> {
    await this.settings.put(key, value);
  }

  async close(): Promise<void> {
    await this.root.close();
  }
}
