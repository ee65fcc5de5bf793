import type {
  CommandAnswer,
  CommandEnvelope,
  KeptRecords,
  RecordKind,
  RecordPosition,
} from '@lariat/contracts';
import type { LariatError } from '@lariat/kernel';
import type { Owned, OwnedKind, OwnedOf } from '../domain/ownership.js';

/** Where the kept copy of a record stands, and whether it is the one that was to be kept. */
export interface KeptRecord {
  readonly held: RecordPosition;
  readonly isSame: boolean;
}

/**
 * The agent's durable memory. A write's promise settles after it is on disk; reads are synchronous and see
 * all settled writes.
 */
export interface JournalPort {
  /** The first answer to a command; undefined when it has none yet. */
  answerOf(commandId: string): CommandAnswer | undefined;
  /**
   * In one transaction: checks the command against what came before, records its intent, and raises the
   * operation's fence and the volume's epoch. Gives the reason when it is refused; nothing is written then.
   */
  begin(envelope: CommandEnvelope, atMs: number): Promise<LariatError | undefined>;
  /** What was noted under this key; `prune` drops it like a command. */
  noteOf(key: string): unknown;
  note(key: string, note: unknown, atMs: number): Promise<void>;
  end(commandId: string, answer: CommandAnswer, atMs: number): Promise<void>;
  /** Drops commands and fences not touched since; a redelivery that late is expired anyway. */
  prune(beforeMs: number): Promise<number>;

  owned<Kind extends OwnedKind>(kind: Kind, name: string): OwnedOf<Kind> | undefined;
  ownedOfKind<Kind extends OwnedKind>(kind: Kind): readonly OwnedOf<Kind>[];
  ownedBy(owner: string): readonly Owned[];
  putOwned(record: Owned): Promise<void>;
  dropOwned(kind: OwnedKind, name: string): Promise<void>;

  /**
   * Keeps the copy of a record unless one as new is kept; answers which is kept now. Undefined when the
   * node has nothing of the volume or image: a copy that comes after the last part has gone would stay for ever.
   */
  keepRecord<Kind extends RecordKind>(
    kind: Kind,
    record: KeptRecords[Kind],
  ): Promise<KeptRecord | undefined>;
  /** True while an lvol or the engine of the volume, or a sealed copy of the image, is on record. */
  ownsPartOf(kind: RecordKind, id: string): boolean;
  /** Where the kept copy of a record stands; undefined when none is kept. */
  recordPosition(kind: RecordKind, id: string): RecordPosition | undefined;
  /** The kept copy of a record. */
  record<Kind extends RecordKind>(kind: Kind, id: string): KeptRecords[Kind] | undefined;
  records<Kind extends RecordKind>(kind: Kind): readonly KeptRecords[Kind][];
  dropRecord(kind: RecordKind, id: string): Promise<void>;

  highestEpoch(volume: string): number;
  setting(key: string): unknown;
  putSetting(key: string, value: unknown): Promise<void>;
  close(): Promise<void>;
}

export const JOURNAL = Symbol('JOURNAL');
