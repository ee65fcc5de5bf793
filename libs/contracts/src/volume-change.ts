import type { ContentEvent, FormatType } from './content.js';
import type { VolumeQos } from './qos.js';
import type {
  AttachmentRecord,
  CloneRecord,
  RebuildControl,
  ReplicaRecord,
  SnapshotRecord,
  VolumeEvent,
} from './volume.js';

/**
 * A change of one volume record: data that a saga of any service sends to volume-svc, which alone writes the
 * record. Applying the same change twice gives the same record, so that a resumed saga may send it again.
 */
export type VolumeChange =
  /** The operation takes the volume for itself; refused while another holds it. */
  | { readonly type: 'claim'; readonly operation: string }
  | { readonly type: 'release'; readonly operation: string }
  | { readonly type: 'transition'; readonly event: VolumeEvent }
  | { readonly type: 'resize'; readonly sizeBytes: number }
  | { readonly type: 'put-replica'; readonly replica: ReplicaRecord }
  | { readonly type: 'drop-replica'; readonly replica: string }
  /**
   * Begins to take it away. One of the in-sync set does not count from now on, and stays on record until its engine has let
   * go of it: were it forgotten, nobody would ask it after the store is lost, and it may be put back (`sync-replica`).
   * One that does not count is dropped. Refused for the last member of the set.
   */
  | { readonly type: 'retire-replica'; readonly replica: string }
  /** Takes it out of the in-sync set; refused for the last member of it. */
  | {
      readonly type: 'fault-replica';
      readonly replica: string;
      readonly reason: string;
      readonly atMs: number;
    }
  /** Puts it into the in-sync set. */
  | { readonly type: 'sync-replica'; readonly replica: string }
  | { readonly type: 'add-snapshot'; readonly snapshot: SnapshotRecord }
  /** What the replicas' copies of the snapshot were found to hold. */
  | { readonly type: 'set-checksum'; readonly snapshot: string; readonly sha256: string }
  | { readonly type: 'drop-snapshot'; readonly snapshot: string }
  /** The heads are about to be replaced; to be kept beside the replicas before the first one is. */
  | { readonly type: 'begin-revert'; readonly operation: string; readonly snapshot: string }
  /** No head was replaced. */
  | { readonly type: 'abandon-revert' }
  /** Nobody can tell which heads were replaced: the volume is in doubt, unless it is for another reason. */
  | { readonly type: 'doubt-revert'; readonly reason: string }
  /** All heads were replaced: their parent is this snapshot. */
  | { readonly type: 'revert'; readonly snapshot: string }
  /** How many replicas the volume is to have. */
  | { readonly type: 'set-replica-count'; readonly replicas: number }
  | { readonly type: 'set-qos'; readonly qos: VolumeQos }
  /** Notes a clone that is to be made of one of the volume's snapshots. */
  | { readonly type: 'put-clone'; readonly clone: CloneRecord }
  /** The clone is there; no operation need hold the volume for this or the next. */
  | { readonly type: 'settle-clone'; readonly volume: string }
  /** The clone is gone, or shares nothing with the volume. */
  | { readonly type: 'drop-clone'; readonly volume: string }
  /** An operator's wish; whoever holds the volume need not be asked. */
  | { readonly type: 'control-rebuild'; readonly control: Partial<RebuildControl> }
  /** What the node of that attachment does with the content, and with which file system; no operation need hold the volume. */
  | {
      readonly type: 'set-content';
      readonly epoch: number;
      readonly event: ContentEvent;
      readonly fsType: FormatType | null;
      readonly uuid: string | null;
      /** Of what lies under the header of an encrypted volume. */
      readonly inside?: boolean;
    }
  /** It is handed to somebody who keeps no record of what is written. */
  | { readonly type: 'disown-content' }
  | { readonly type: 'raise-epoch'; readonly epoch: number }
  | { readonly type: 'set-attachment'; readonly attachment: AttachmentRecord | null }
  | { readonly type: 'set-clean'; readonly clean: boolean };

export type VolumeChangeType = VolumeChange['type'];
