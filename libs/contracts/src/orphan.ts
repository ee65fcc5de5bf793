/**
 * What a target has that no ownership record of its node names. lvol: in a store of one of the node's disks. subsystem,
 * controller: of Lariat's NQNs. raid: of such lvols and controllers. store: named as a disk of Lariat, and of no disk on
 * record. What is none of these is foreign, and is not told.
 */
export type UnownedKind = 'lvol' | 'subsystem' | 'controller' | 'raid' | 'store';

/** replica: its node has it on record, and its volume is neither on record nor known as deleted. */
export type OrphanKind = UnownedKind | 'replica';

/** One thing without an owner, as its node sees it. */
export interface UnownedThing {
  readonly kind: UnownedKind;
  /** Alias of an lvol, NQN of a subsystem, name of a controller, raid or store. */
  readonly name: string;
  /** Its own; of a subsystem or controller its namespace's, null when it has none. */
  readonly uuid: string | null;
  /** Of an lvol or a store: its disk's id. */
  readonly disk: string | null;
  readonly sizeBytes: number;
  /** What it takes on its disk, without what it stands on. */
  readonly allocatedBytes: number;
  /** Names of the lvols that stand on it: they go first. */
  readonly beneath: readonly string[];
  /** When its agent saw it first. */
  readonly since: string;
}

/** All that an agent saw without an owner when it looked last. */
export interface UnownedSight {
  readonly things: readonly UnownedThing[];
  /** There are as many more. */
  readonly omitted: number;
  /** Disks that are loaded: of the lvols of any other nothing is known. */
  readonly disks: readonly string[];
}

/** One message has room for them beside the rest of an inventory. */
export const MAX_UNOWNED_TOLD = 1_000;

/** A thing on a node that has no owner, on record until it has one, or is gone. */
export interface OrphanRecord extends Omit<UnownedThing, 'kind'> {
  readonly id: string;
  readonly node: string;
  readonly kind: OrphanKind;
  /** The volume that a replica belongs to, as its node has it. */
  readonly volume: string | null;
  /** Since when it is on record: its grace begins then. */
  readonly foundAt: string;
}

/**
 * deleted: its node has confirmed that it is gone. adopted: a record names or wants it now. vanished: it is gone, and nobody
 * here has deleted it. forgotten: its node is gone; it is found again when that is back.
 */
export type OrphanEnd = 'deleted' | 'adopted' | 'vanished' | 'forgotten';

export interface OrphanView extends OrphanRecord {
  /** When it is deleted by itself, unless it has an owner by then; null: it is not. */
  readonly deletesAt: string | null;
  /** Why it is not deleted by itself; null when it is. */
  readonly kept: string | null;
  /** False: not on request either; `kept` says why. */
  readonly deletable: boolean;
}

/** What became of an orphan that was to be deleted. */
export interface OrphanOutcome {
  readonly orphan: OrphanRecord;
  readonly outcome: OrphanEnd;
}
