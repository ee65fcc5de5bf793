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
