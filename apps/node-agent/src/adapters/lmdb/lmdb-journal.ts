import {
  lariatError,
  type CommandAnswer,
  type CommandEnvelope,
  type KeptRecords,
  type RecordKind,
  type RecordPosition,
} from '@lariat/contracts';
import type { LariatError } from '@lariat/kernel';
import { type Database, open, type RootDatabase } from 'lmdb';
import { epochOf, refusal } from '../../domain/command-rules.js';
import { OWNED_KINDS, type Owned, type OwnedKind, type OwnedOf } from '../../domain/ownership.js';
import type { JournalPort, KeptRecord } from '../../ports/journal.port.js';
import { LmdbKeptCopies } from './lmdb-kept-copies.js';

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
  private readonly copies: { readonly [Kind in RecordKind]: LmdbKeptCopies<Kind> };
  /** What is on disk in `things`, by kind and name: they are looked through with every command. */
  private readonly mirror = new Map<OwnedKind, Map<string, Owned>>(
    OWNED_KINDS.map((kind) => [kind, new Map()]),
  );

  constructor(path: string) {
    this.root = open<unknown, string>({
      path,
      maxDbs: 16,
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
    for (const { value } of this.things.getRange())
      this.mirror.get(value.kind)?.set(value.name, value);
    this.copies = {
      volume: new LmdbKeptCopies(this.root, 'records', (id) => this.ownsPartOf('volume', id)),
      image: new LmdbKeptCopies(this.root, 'image-records', (id) => this.ownsPartOf('image', id)),
    };
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

  keepRecord<Kind extends RecordKind>(
    kind: Kind,
    record: KeptRecords[Kind],
  ): Promise<KeptRecord | undefined> {
    return this.copies[kind].keep(record);
  }

  ownsPartOf(kind: RecordKind, id: string): boolean {
    const lvols = this.ownedOfKind('lvol');
    // A draft may never become a copy of the image.
    if (kind === 'image')
      return lvols.some(({ params }) => params.role === 'image' && params.image === id);
    return this.owned('raid', id) !== undefined || lvols.some((lvol) => lvol.volume === id);
  }

  recordPosition(kind: RecordKind, id: string): RecordPosition | undefined {
    return this.copies[kind].position(id);
  }

  record<Kind extends RecordKind>(kind: Kind, id: string): KeptRecords[Kind] | undefined {
    return this.copies[kind].get(id);
  }

  records<Kind extends RecordKind>(kind: Kind): readonly KeptRecords[Kind][] {
    return this.copies[kind].list();
  }

  dropRecord(kind: RecordKind, id: string): Promise<void> {
    return this.copies[kind].drop(id);
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
