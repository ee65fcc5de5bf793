import type { ImageCopyState, ImageRecord } from './image.js';
import type { EngineReport } from './node.js';
import type { VolumeRecord } from './volume.js';

/** One lvol of a replica as its node finds it. */
export interface SurveyedLvol {
  /** Absent: made once, and not on a disk that is loaded. Unknown: its disk or its target does not answer. */
  readonly presence: 'present' | 'absent' | 'unknown';
  readonly uuid: string | null;
  readonly sizeBytes: number;
  /** The replica's own snapshot that it stands on; null when there is none. */
  readonly parent: string | null;
  /** The operation that made it: of a head that was reverted, the revert. Null when that is not known. */
  readonly madeBy: string | null;
}

/** What a node has of one replica. */
export interface SurveyedReplica {
  readonly replica: string;
  readonly disk: string;
  readonly head: SurveyedLvol;
  readonly snapshots: readonly (SurveyedLvol & { readonly snapshot: string })[];
  /** Snapshots that are exported for a rebuild. */
  readonly exported: readonly string[];
  /** NQNs of scratch lvols that it copies into. */
  readonly scratches: readonly string[];
}

/** All that a node tells of one volume. */
export interface SurveyedVolume {
  readonly volume: string;
  /** The copy that is kept here; null when there is none. */
  readonly record: VolumeRecord | null;
  readonly replicas: readonly SurveyedReplica[];
  /** The engine that this node runs; null when there is none. */
  readonly engine: EngineReport | null;
  /** The highest epoch that this node has seen. */
  readonly epoch: number;
}

/** One copy of an image as its node finds it. */
export interface SurveyedImageCopy extends Pick<SurveyedLvol, 'presence' | 'uuid' | 'sizeBytes'> {
  readonly disk: string;
  readonly state: ImageCopyState;
  /** The operation that writes it, or has written it. */
  readonly operation: string;
}

/** All that a node tells of one image. */
export interface SurveyedImage {
  readonly image: string;
  /** The copy of its record that is kept here; null when there is none. */
  readonly record: ImageRecord | null;
  readonly copies: readonly SurveyedImageCopy[];
}
