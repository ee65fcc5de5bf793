import { CLUSTER_SIZE_BYTES, type ErrorRecord, KIB } from '@lariat/kernel';
import type { RecordPosition } from './record-position.js';

export const ImageState = Object.freeze({
  pending: 'pending',
  downloading: 'downloading',
  converting: 'converting',
  verifying: 'verifying',
  ready: 'ready',
  failed: 'failed',
  deleting: 'deleting',
} as const);
export type ImageState = (typeof ImageState)[keyof typeof ImageState];

/**
 * A copy on record. fetching: its draft is being written. ready: sealed, and its digests are the image's. corrupt: sealed,
 * and they are not. deleting: nobody may begin to use it.
 */
export const ImageCopyRecordState = Object.freeze({
  fetching: 'fetching',
  ready: 'ready',
  corrupt: 'corrupt',
  deleting: 'deleting',
} as const);
export type ImageCopyRecordState = (typeof ImageCopyRecordState)[keyof typeof ImageCopyRecordState];

export type ImageFormatName = 'raw' | 'qcow2';

/** Hexadecimal. */
export interface ImageDigests {
  readonly sha256: string;
  readonly sha512: string;
}

/** All null until it is ready. */
export interface ImageChecksums {
  /** Of the file as it was given. */
  readonly file: ImageDigests | null;
  /** Of the whole logical content; null also where that is mostly holes, of which no sum is taken: see rootSha256. */
  readonly content: ImageDigests | null;
  /** `rootDigestOf` a device with the content: what every copy is compared with. */
  readonly rootSha256: string | null;
}

export const NO_CHECKSUMS: ImageChecksums = Object.freeze({
  file: null,
  content: null,
  rootSha256: null,
});

/**
 * Where an image is taken from; a file of a `node` is read by its agent, and without one (null) by the image service. An upload's token, by which
 * its bytes are asked for, is a secret, and missing on record.
 */
export type ImageSourceRecord =
  | { readonly url: string }
  | { readonly upload: ImageUpload }
  | { readonly file: { readonly node: string | null; readonly path: string } }
  | { readonly volume: ImageVolumeSource };

/** A volume as it is when the import begins, or a snapshot of it. A type, not an interface: it goes into journals as JSON. */
export type ImageVolumeSource = {
  readonly id: string;
  /** `db`, or `db@before-upgrade`, as they were called when the image was asked for. */
  readonly name: string;
  /** Id of the snapshot; null: what the volume holds then. */
  readonly snapshot: string | null;
};

/** A type, not an interface: it goes into journals as JSON. */
export type ImageUpload = {
  readonly fileName: string;
  readonly sizeBytes: number;
  readonly token?: string;
};

/**
 * What the image service asks for, on `uploadSubject` or `nodeFileSubject`, of whoever has a file: a command line, or a node's agent. The answer
 * is the bytes alone, or an error as any request has it.
 */
export interface UploadPieceRequest {
  readonly offsetBytes: number;
  /** At most MAX_PIECE_BYTES. */
  readonly lengthBytes: number;
}

/** Below what NATS takes in one message (1 MiB unless it is set otherwise). */
export const MAX_PIECE_BYTES = 512 * KIB;

/** On the same subject, unanswered: no more is asked for. */
export interface UploadOver {
  readonly isOver: true;
}

/** What tells one state of a file from another. A type, not an interface: it goes over the wire as JSON. */
export type FileVersion = {
  readonly sizeBytes: number;
  /** Nanoseconds since 1970, in decimal; of the last change. */
  readonly mtimeNs: string;
  readonly inode: string;
};

/** What LARIAT_IMAGE_FOLDERS of a service or an agent names: folders that images may be taken from, `:` between them. */
export const imageFoldersFrom = (text: string | undefined): readonly string[] =>
  (text ?? '').split(':').filter((part) => part !== '');

export interface ImageCopyRecord {
  readonly node: string;
  /** The disk's id: there is one copy a disk. */
  readonly disk: string;
  readonly state: ImageCopyRecordState;
  /** Of the sealed copy; null before. */
  readonly lvolUuid: string | null;
  readonly readyAt: string | null;
  /** When it was last read whole and found right. */
  readonly checkedAt: string | null;
  /** When a volume last asked for it: it is not taken away right before it is used. */
  readonly wantedAt: string | null;
}

/** An image on record; backing-image-svc alone writes it. */
export interface ImageRecord {
  readonly id: string;
  readonly name: string;
  readonly state: ImageState;
  /** What a device with the content has: whole clusters. 0 until it is known, as the next two. */
  readonly sizeBytes: number;
  readonly contentBytes: number;
  /** Clusters that are not zeros throughout: what a copy takes. */
  readonly dataClusters: number;
  /** As found; before, as asked for. */
  readonly format: ImageFormatName | null;
  /** As asked for, without what may be a secret. */
  readonly source: ImageSourceRecord;
  readonly checksums: ImageChecksums;
  readonly copies: readonly ImageCopyRecord[];
  readonly minimumCopies: number;
  /** The operation that makes or deletes it. */
  readonly operation: string | null;
  /** Why it failed; the evidence is in the details. */
  readonly failure: ErrorRecord | null;
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Counts the changes that nodes keep; missing: 0 (record-position.ts). */
  readonly revision?: number;
  /** How often the record was put back from copies; missing: 0. */
  readonly generation?: number;
}

/** An image as callers see it. */
export interface ImageView extends Omit<
  ImageRecord,
  'checksums' | 'dataClusters' | 'revision' | 'generation'
> {
  /** `sha256:…`, `sha512:…` of the whole logical content; none before it is ready, or where no sum was taken. */
  readonly checksums: readonly string[];
  /** The same of the file as it was given. */
  readonly fileChecksums: readonly string[];
  readonly rootSha256: string | null;
  /** What one copy takes on a disk. */
  readonly allocatedBytes: number;
}

const sumsOf = (sums: ImageDigests | null | undefined): readonly string[] =>
  sums == null ? [] : [`sha256:${sums.sha256}`, `sha512:${sums.sha512}`];

export function toImageView(record: ImageRecord): ImageView {
  const { checksums, dataClusters, revision: _revision, generation: _generation, ...rest } = record;
  return {
    ...rest,
    checksums: sumsOf(checksums.content),
    fileChecksums: sumsOf(checksums.file),
    rootSha256: checksums.rootSha256,
    allocatedBytes: dataClusters * CLUSTER_SIZE_BYTES,
  };
}

/**
 * identical: every copy that was read is the image. repaired: those that were not were replaced. differs: some are not, and
 * could not be replaced: a volume stands on them, or no good copy is left.
 */
export type ImageVerdict = 'identical' | 'repaired' | 'differs';

export interface ImageVerification {
  readonly image: string;
  readonly verdict: ImageVerdict;
  readonly rootSha256: string;
  /** `found` null: its node did not answer, with the reason. */
  readonly copies: readonly {
    readonly node: string;
    readonly disk: string;
    readonly found: string | null;
    readonly isRight: boolean | null;
    readonly reason: string | null;
  }[];
}

/** writing: a draft. sealed: never changes any more; replicas may stand on it. */
export const ImageCopyState = Object.freeze({ writing: 'writing', sealed: 'sealed' } as const);
export type ImageCopyState = (typeof ImageCopyState)[keyof typeof ImageCopyState];

/** What a node has of an image on one of its disks. */
export interface ImageCopyReport {
  readonly image: string;
  readonly disk: string;
  readonly state: ImageCopyState;
  /** Of the lvol; null while it is being made. */
  readonly uuid: string | null;
  readonly sizeBytes: number;
  /** Absent: made once, and not on its disk any more. Unknown: its disk or its target does not answer. */
  readonly presence: 'present' | 'absent' | 'unknown';
  /** Clusters that it takes; null while unknown. */
  readonly allocatedClusters: number | null;
  /** Lvols that stand on it directly; null while unknown. It is in use while there are any. */
  readonly clones: number | null;
  /** Of the copy of the image's record that is kept beside it; missing or null: there is none. */
  readonly record?: RecordPosition | null;
}
