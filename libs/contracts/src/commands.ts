import type { ErrorRecord } from '@lariat/kernel';
import type { DigestPage } from './cluster-digests.js';
import type { ImageCommandMap } from './image-commands.js';
import type { DiskRecord } from './node.js';
import type { OrphanKind } from './orphan.js';
import type { SurveyedImage, SurveyedVolume } from './node-survey.js';
import type { VolumeQos } from './qos.js';
import type { KeptRecords, RecordKind, RecordPosition } from './record-position.js';
import type { Frontend, NvmfEndpoint } from './volume.js';

/**
 * Commands to one node's agent: `lariat.v1.node.<node>.<noun>.<verb>` in the stream LARIAT_COMMANDS.
 * Each is idempotent and adoptable: what is already there with the same parameters is done; what is already
 * gone is gone. The agent journals intent before and result after, and answers a redelivery with the
 * first answer.
 */
export interface CommandEnvelope<Name extends CommandName = CommandName> {
  /** Stable over retries: `<operation>/<step>/<node or replica>`; the agent's journal is keyed by it. */
  readonly id: string;
  readonly command: Name;
  readonly operation: string;
  readonly step: string;
  /** The saga's lease number: a command with a lower one than the agent saw for this operation is refused. */
  readonly fence: number;
  /** Milliseconds since 1970; after it the agent refuses with COMMAND_EXPIRED and changes nothing. */
  readonly deadlineAtMs: number;
  readonly input: CommandMap[Name]['input'];
}

export type CommandAnswer<Name extends CommandName = CommandName> =
  | { readonly id: string; readonly data: CommandMap[Name]['output'] }
  | { readonly id: string; readonly error: ErrorRecord };

/** One member of an engine's raid: the lvol itself when it is local, else its NVMe/TCP endpoint. */
export interface EngineLeg {
  readonly replica: string;
  /** Null: the replica is on the engine's own node. */
  readonly endpoint: NvmfEndpoint | null;
}

type Nothing = Readonly<Record<string, never>>;

/** The name under which the head of a replica that was lost is kept beside its snapshots until it is of no more use. */
export const STALE_HEAD = 'stale-head';

/** A snapshot that a node has of a replica. */
export interface HeldSnapshot {
  readonly snapshot: string;
  /** The replica's snapshot that it stands on; null: none. */
  readonly parent: string | null;
  readonly sizeBytes: number;
}

/** Input and output of each command. Sizes are bytes; times are milliseconds. */
export interface CommandMap extends ImageCommandMap {
  /**
   * Makes the file when `sizeBytes` is given and it is absent; refuses foreign content unless `erase` says that it may be
   * lost; makes or adopts the lvol store.
   */
  'disk.add': {
    input: {
      disk: string;
      name: string;
      path: string;
      tags: readonly string[];
      sizeBytes: number | null;
      erase?: boolean;
    };
    output: DiskRecord;
  };
  /**
   * Ends the target and starts it again, from the binary that is there now; answers when all that is on record has been put
   * back. Refused with nothing changed when the target is others' to start (TARGET_NOT_OURS) or the binary does not run
   * (TARGET_BINARY_BROKEN). `from`, `to`: the versions before and after.
   */
  'target.restart': { input: Nothing; output: { from: string; to: string } };
  /** Refused while the disk holds anything that is owned. */
  'disk.remove': { input: { disk: string }; output: Nothing };

  /**
   * Makes an empty head; with `image`, a clone of that image's sealed copy on the same disk, grown to `sizeBytes`: what
   * lies past the image reads as zeros. Refused when the copy is not there (IMAGE_COPY_NOT_FOUND), is still being
   * written (IMAGE_COPY_NOT_SEALED), or is larger than `sizeBytes` (SIZE_TOO_SMALL).
   */
  'replica.create': {
    input: {
      replica: string;
      volume: string;
      disk: string;
      sizeBytes: number;
      image?: string | null;
    };
    output: { lvolUuid: string };
  };
  /**
   * Makes the replica as a clone of another replica's snapshot on the same disk: there at once, with its clusters
   * shared. Refused with REPLICA_NOT_FOUND when the snapshot is not there.
   */
  'replica.clone': {
    input: {
      replica: string;
      volume: string;
      disk: string;
      sizeBytes: number;
      source: { replica: string; snapshot: string };
    };
    output: { lvolUuid: string };
  };
  /** Makes the scratch that was copied to, without an export from then on, the replica's head. */
  'replica.adopt-scratch': {
    input: { replica: string; volume: string; sizeBytes: number };
    output: { lvolUuid: string };
  };
  /**
   * Removes all that the ownership records name for this replica: exports, head, snapshots, scratch. `record`: where the
   * volume's record stands that does not want it; refused with RECORD_STALE when the node keeps a newer one. Missing: the
   * volume itself is wanted no more.
   */
  'replica.delete': {
    input: { replica: string; volume: string; record?: RecordPosition };
    output: Nothing;
  };
  /**
   * Takes up a replica that is on this disk, and on no record of the node, since that was installed anew: its head, and all
   * that goes by its name. REPLICA_NOT_FOUND when it has no head that stands alone.
   */
  'replica.adopt': {
    input: { replica: string; volume: string; disk: string };
    output: { lvolUuid: string };
  };
  /** Exports the head to exactly these hosts; hosts admitted before are cut off. */
  'replica.export': {
    input: { replica: string; volume: string; epoch: number; hostNqns: readonly string[] };
    output: NvmfEndpoint;
  };
  'replica.unexport': {
    input: { replica: string; volume: string; epoch: number };
    output: Nothing;
  };
  /**
   * Grows the head. With `undo`, the head gets back the size that it had before this same operation grew it: for a
   * growth that not all replicas could follow, before any engine has run since.
   */
  'replica.resize': {
    input: { replica: string; volume: string; sizeBytes: number; undo?: boolean };
    output: Nothing;
  };
  /** Replaces the head by a new clone of the snapshot; the replica must not be in use. */
  'replica.revert': {
    input: { replica: string; volume: string; snapshot: string; sizeBytes: number };
    output: { lvolUuid: string };
  };
  /** SHA-256 over the whole logical content of the head (null) or of a snapshot. */
  'replica.checksum': {
    input: { replica: string; volume: string; snapshot: string | null };
    output: { sha256: string; sizeBytes: number };
  };

  'snapshot.create': {
    input: { replica: string; volume: string; snapshot: string };
    output: { lvolUuid: string };
  };
  'snapshot.delete': {
    input: { replica: string; volume: string; snapshot: string };
    output: Nothing;
  };
  /**
   * Lets one more host read the snapshot, which any number may do at a time, beside a rebuild that reads it. `allocatedBytes`:
   * what it and all beneath it take; no more of it can be other than zeros.
   */
  'snapshot.export': {
    input: { replica: string; volume: string; snapshot: string; hostNqn: string };
    output: NvmfEndpoint & { allocatedBytes: number };
  };
  /** Ends what `snapshot.export` gave to this host; what is not exported is fine. */
  'snapshot.unexport': {
    input: { replica: string; volume: string; snapshot: string; hostNqn: string };
    output: Nothing;
  };

  /** Connects the legs, makes the raid, exports it. A leg that cannot be reached is reported, not fatal, while one is left. */
  'engine.start': {
    input: {
      volume: string;
      /** UUID of raid bdev and namespace. */
      uuid: string;
      epoch: number;
      sizeBytes: number;
      legs: readonly EngineLeg[];
      /** Missing: no limits. */
      qos?: VolumeQos;
    };
    output: {
      endpoint: NvmfEndpoint;
      operational: readonly string[];
      lost: readonly { replica: string; reason: string }[];
    };
  };
  'engine.stop': {
    input: { volume: string; epoch: number };
    /** Replicas that had every write, and were flushed, when the engine ended; null when no one can tell: it had crashed. */
    output: { inStep: readonly string[] | null };
  };
  /** Waits until the raid has taken up that its legs have grown, so that hosts have been told of the new size. */
  'engine.resize': {
    input: { volume: string; epoch: number; sizeBytes: number };
    output: { sizeBytes: number };
  };
  /** Limits what hosts may do with the volume, from now on and whenever the engine is put back. */
  'engine.set-qos': { input: { volume: string; epoch: number; qos: VolumeQos }; output: Nothing };
  /** Takes a leg out of the raid before its target goes, so that no write waits for it. */
  'engine.remove-leg': {
    input: { volume: string; epoch: number; replica: string };
    output: Nothing;
  };
  /** Adds a leg as a member that gets all writes from now on; only while gate `gate` is closed. */
  'engine.add-leg': {
    input: { volume: string; epoch: number; gate: string; leg: EngineLeg };
    output: Nothing;
  };
  /** Holds new I/O and waits until what is in flight has drained; opens by itself after `timeoutMs`. */
  'engine.close-gate': {
    input: { volume: string; epoch: number; gate: string; timeoutMs: number };
    output: Nothing;
  };
  /** `held` is false when the gate had opened by itself: what was done under it must be abandoned. */
  'engine.open-gate': {
    input: { volume: string; epoch: number; gate: string };
    output: { held: boolean };
  };

  'frontend.start': {
    input: {
      volume: string;
      epoch: number;
      frontend: Frontend;
      endpoint: NvmfEndpoint;
      /** Of `nvmf`: exactly these may connect from now on. Missing: the one that is made for volume and epoch. */
      hostNqns?: readonly string[];
    };
    /** `nvme+tcp://addr:port/nqn`, `nbd+unix:///?socket=path`, or the path of a block device. */
    output: { endpoint: string };
  };
  /** What of the node uses the volume's block device, as text for people: mounts, other devices, swap, processes. */
  'frontend.users': {
    input: { volume: string; epoch: number };
    output: { users: readonly string[] };
  };
  /**
   * Refused with DEVICE_BUSY while something on the node uses the volume's block device, unless `force` says that what does
   * is to get errors: the volume is not this node's any more.
   */
  'frontend.stop': {
    input: { volume: string; epoch: number; force?: boolean };
    output: Nothing;
  };

  /** Source: exports a snapshot read-only to the destination's node. */
  'rebuild.export-snapshot': {
    input: { replica: string; volume: string; snapshot: string; hostNqn: string };
    output: NvmfEndpoint;
  };
  'rebuild.unexport-snapshot': {
    input: { replica: string; volume: string; snapshot: string };
    output: Nothing;
  };
  /** Destination: attaches the source's snapshot and makes the new head as its clone. */
  'rebuild.create-head': {
    input: {
      replica: string;
      volume: string;
      disk: string;
      sizeBytes: number;
      source: NvmfEndpoint;
    };
    output: { lvolUuid: string };
  };
  /**
   * Destination: a thin lvol for one snapshot's clusters, a clone of the local copy of `parent` (null: empty),
   * exported to the source's node unless that is the same one. One scratch a snapshot, so that a tree of snapshots
   * is copied as a tree. With `image`, and `parent` null, it is a clone of the sealed copy of that image on the same
   * disk: refused as replica.create is, for that copy is fetched first.
   */
  'rebuild.create-scratch': {
    input: {
      replica: string;
      volume: string;
      disk: string;
      sizeBytes: number;
      parent: string | null;
      image?: string | null;
      hostNqn: string;
      /** The most that may be written to it; 0: no limit. Missing: it stays as it is. */
      mibPerSecond?: number;
    };
    output: NvmfEndpoint;
  };
  /**
   * Source: copies the clusters of `snapshot` and of all that lies between it and `parent`, the volume's snapshot
   * beneath (null: all that lies beneath), into the scratch lvol: what it was cloned from, and what an undo could not
   * take back on this node. With `image`, and `parent` null, down to the copy of that image, which the scratch stands
   * on too; refused with IMAGE_NOT_BENEATH where the source does not: copy then without. Reports on the progress subject.
   */
  'rebuild.copy-snapshot': {
    input: {
      replica: string;
      volume: string;
      snapshot: string;
      parent: string | null;
      image?: string | null;
      scratch: NvmfEndpoint;
    };
    output: { copiedClusters: number };
  };
  /** Destination: freezes what was copied as this replica's own `snapshot`; the scratch and its export go. */
  'rebuild.freeze-scratch': {
    input: { replica: string; volume: string; snapshot: string };
    output: { lvolUuid: string };
  };
  /** Destination: puts the new head onto the copied chain, drops the scratch, the attached source and STALE_HEAD. */
  'rebuild.finish': {
    input: { replica: string; volume: string; snapshot: string };
    output: Nothing;
  };
  /** Source: detaches the destination's scratch lvol. */
  'rebuild.detach-scratch': {
    input: { replica: string; volume: string; scratchNqn: string };
    output: Nothing;
  };

  /**
   * Keeps a copy of a record beside what the node has of it (a volume's replicas, an image's sealed copies), unless one as
   * new is kept. Answers where the kept one stands, and whether it is this very record.
   */
  'record.keep': {
    input: { [Kind in RecordKind]: { kind: Kind; record: KeptRecords[Kind] } }[RecordKind];
    output: { held: RecordPosition; isSame: boolean };
  };
  /** What this node keeps and has of volumes and images, a page at a time: those after `after`, by id. Changes nothing. */
  'record.survey': {
    input: { after: string | null };
    /**
     * `disks`: those that it knows and sees; a node that was installed anew knows none of the old ones. `next`: where the
     * next page goes on; null after the last.
     */
    output: {
      disks: readonly string[];
      volumes: readonly SurveyedVolume[];
      images: readonly SurveyedImage[];
      next: string | null;
    };
  };
  /**
   * Deletes a thing that no ownership record of the node names, if it still has this uuid; a `replica` that the node owns,
   * if its head still has it. owned: a record names it now, and it stays. changed: another thing has its name.
   */
  'orphan.delete': {
    input: { kind: OrphanKind; name: string; uuid: string | null; volume: string | null };
    output: { outcome: 'deleted' | 'absent' | 'owned' | 'changed' };
  };
  /**
   * Destination, a replica that was lost and is back: nobody can write to it any more, what earlier rebuilds left half
   * done goes, and its head is frozen as the snapshot STALE_HEAD. Refused while an engine of this node uses it. The
   * answer is all that the replica has, confirmed on the disk.
   */
  'rebuild.retire-head': {
    input: { replica: string; volume: string };
    output: { snapshots: readonly HeldSnapshot[] };
  };
  /**
   * Destination: takes back an unfinished head and scratch lvol; snapshots, and a head that stands alone, stay. `record` as
   * for replica.delete.
   */
  'rebuild.discard-head': {
    input: { replica: string; volume: string; record?: RecordPosition };
    output: Nothing;
  };
  /** Destination: deletes the replica's snapshots but those to keep. What others stand on gives them its clusters. */
  'rebuild.prune-snapshots': {
    input: { replica: string; volume: string; keep: readonly string[] };
    output: Nothing;
  };
  /**
   * One digest over a snapshot's whole content: equal when size and every cluster are. `verified`: read since the
   * target was last started, since a crash is what may have cost the disk something; else any reading will do.
   */
  'rebuild.digest-snapshot': {
    input: { replica: string; volume: string; snapshot: string; verified: boolean };
    output: { sha256: string; sizeBytes: number };
  };
  /** Digests of some clusters of a snapshot, in order; at most MAX_DIGESTS_PER_PAGE. */
  'rebuild.read-digests': {
    input: {
      replica: string;
      volume: string;
      snapshot: string;
      firstCluster: number;
      clusters: number;
    };
    output: { digests: DigestPage };
  };
  /**
   * Destination: brings a page of the replica's scratch lvol, which is a clone of the local snapshot `base`, to the
   * content that the digests say. Clusters that `base` has already are not touched; the others are read from `source`,
   * each checked against its digest.
   */
  'rebuild.copy-clusters': {
    input: {
      replica: string;
      volume: string;
      base: string;
      source: NvmfEndpoint;
      firstCluster: number;
      digests: DigestPage;
    };
    output: { copiedClusters: number; zeroedClusters: number };
  };
}

export type CommandName = keyof CommandMap;

/** Core NATS message on the progress subject of an operation. */
export interface ProgressReport {
  readonly commandId: string;
  readonly done: number;
  readonly total: number;
  readonly unit: 'clusters' | 'bytes';
}
