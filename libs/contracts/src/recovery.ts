import type { ImageCopyRecordState, ImageRecord, ImageState } from './image.js';
import type { SurveyedImageCopy } from './node-survey.js';
import type { ReplicaMode, Robustness, VolumeState } from './volume.js';

/**
 * `on-record`: nothing to do. `recovered`: put back from what the nodes keep. `in-doubt`: nobody can tell whether what was
 * found is the newest; a volume is put back, but faulted, and an image, which may have been deleted since, is not.
 * `not-recovered`: left as it is, and `notes` say why.
 */
export const RecoveryOutcome = Object.freeze({
  onRecord: 'on-record',
  recovered: 'recovered',
  inDoubt: 'in-doubt',
  notRecovered: 'not-recovered',
} as const);
export type RecoveryOutcome = (typeof RecoveryOutcome)[keyof typeof RecoveryOutcome];

export interface RecoveredVolume {
  readonly id: string;
  readonly name: string;
  readonly outcome: RecoveryOutcome;
  readonly state: VolumeState | null;
  readonly robustness: Robustness;
  readonly sizeBytes: number;
  readonly snapshots: number;
  readonly replicas: readonly {
    readonly id: string;
    readonly node: string;
    readonly mode: ReplicaMode;
    readonly reason: string | null;
  }[];
  /** What was found, chosen and done, and why; for a person. */
  readonly notes: readonly string[];
}

/** All that the nodes tell of one image. */
export interface ImageEvidence {
  readonly image: string;
  /** The newest copy of its record that a node keeps; null: none keeps one. */
  readonly record: ImageRecord | null;
  readonly copies: readonly (SurveyedImageCopy & { readonly node: string })[];
  /** Names of the volumes whose records, kept or in the store, name it: it was not deleted. */
  readonly usedBy: readonly string[];
  /** An operator takes what was found for the newest. */
  readonly isAccepted: boolean;
}

export interface RecoveredImage {
  readonly id: string;
  readonly name: string;
  readonly outcome: RecoveryOutcome;
  readonly state: ImageState | null;
  readonly sizeBytes: number;
  readonly copies: readonly {
    readonly node: string;
    readonly disk: string;
    readonly state: ImageCopyRecordState;
  }[];
  /** What was found, chosen and done, and why; for a person. */
  readonly notes: readonly string[];
}

/** What the image service has made of evidence. */
export interface RecoveredImages {
  /** In the order of the evidence, without those that were deleted. */
  readonly images: readonly RecoveredImage[];
  /** Whether a record was, or would be, written. */
  readonly written: boolean;
  /** Names that were missing. */
  readonly names: number;
}

/** What a recovery found and did; with `dryRun`, what it would do. */
export interface RecoveryReport {
  readonly dryRun: boolean;
  /** False: everything was on record already. */
  readonly changed: boolean;
  readonly nodes: readonly {
    readonly node: string;
    readonly answered: boolean;
    /** Why it did not answer. */
    readonly reason: string | null;
    readonly volumes: number;
    readonly images: number;
  }[];
  /** How many volumes were on record, as they should be. */
  readonly onRecord: number;
  /** The others; at most MAX_REPORTED_VOLUMES. */
  readonly volumes: readonly RecoveredVolume[];
  readonly omittedVolumes: number;
  /** How many images were on record, as they should be. */
  readonly imagesOnRecord: number;
  /** The others; at most MAX_REPORTED_IMAGES. */
  readonly images: readonly RecoveredImage[];
  readonly omittedImages: number;
  /** Names that were missing. */
  readonly names: number;
  /** Replicas and copies of images whose space was not promised. */
  readonly allocations: number;
}

/** A report is stored with its operation and sent in one message. */
export const MAX_REPORTED_VOLUMES = 500;
export const MAX_REPORTED_IMAGES = 200;
