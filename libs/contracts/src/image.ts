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
