import type { ErrorRecord, Json } from '@lariat/kernel';

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

/** An image as callers see it. */
export interface ImageView {
  readonly id: string;
  readonly name: string;
  readonly state: ImageState;
  readonly sizeBytes: number;
  /** `sha256:…`, `sha512:…` of the whole logical content. */
  readonly checksums: readonly string[];
  readonly copies: readonly {
    readonly node: string;
    readonly disk: string;
    readonly state: ImageState;
  }[];
}

export const ImageCopyRecordState = Object.freeze({
  fetching: 'fetching',
  ready: 'ready',
  corrupt: 'corrupt',
  deleting: 'deleting',
} as const);
export type ImageCopyRecordState = (typeof ImageCopyRecordState)[keyof typeof ImageCopyRecordState];

/** A copy that is there, is being made, or is on its way out. */
export interface ImageCopyRecord {
  readonly node: string;
  /** The disk's id. */
  readonly disk: string;
  readonly state: ImageCopyRecordState;
  /** Null until it is sealed. */
  readonly lvolUuid: string | null;
  readonly readyAt: string | null;
  readonly checkedAt: string | null;
}

/** Hexadecimal. */
export interface ImageDigests {
  readonly sha256: string;
  readonly sha512: string;
}

/** The whole of an image, one KV entry, written by backing-image-svc alone. */
export interface ImageRecord {
  readonly id: string;
  readonly name: string;
  readonly state: ImageState;
  /** Of the logical content, rounded up to whole clusters; 0 until it is known. */
  readonly sizeBytes: number;
  /** The same, exact. */
  readonly contentBytes: number;
  readonly format: string | null;
  /** As asked, without secrets. */
  readonly source: Json;
  readonly checksums: {
    readonly file: ImageDigests | null;
    readonly content: ImageDigests | null;
    /** Over the digests of all clusters (`rootDigestOf`): what copies are compared by. */
    readonly rootSha256: string | null;
  };
  readonly copies: readonly ImageCopyRecord[];
  readonly minimumCopies: number;
  /** The operation that holds the image; null when none does. */
  readonly operation: string | null;
  readonly failure: Pick<ErrorRecord, 'code' | 'message' | 'details'> | null;
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
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
}
