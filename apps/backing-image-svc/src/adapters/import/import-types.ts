import type { Checksum, Sums } from '../../domain/checksum.js';
import type { HolePolicy } from '../../domain/hole-policy.js';
import type { Compression, ImageFormat } from '../../domain/image-format.js';
import type { Sandbox } from '../child/sandbox.js';
import type { Workbenches } from '../hash/workbenches.js';

export interface ImportOptions {
  /** What the file as given must have. */
  readonly checksum: Checksum | null;
  /** Null: by the content. */
  readonly format: ImageFormat | null;
  /** The bytes are the content, whatever they look like: nothing is unpacked or converted. */
  readonly isContent: boolean;
  /** Of the content. */
  readonly maxSizeBytes: number;
  /** The digests of the clusters go into a file here, for `readDigests`. */
  readonly digestsPath: string;
}

/** What all imports of a service share. */
export interface ImportEnvironment {
  /** Each import has a folder of its own in it. */
  readonly scratchParent: string;
  readonly sandbox: Sandbox;
  readonly holes: HolePolicy;
  readonly workbenches: Workbenches;
}

export interface ImportResult {
  readonly format: ImageFormat;
  readonly compression: Compression | null;
  /** The file as it was given; sums null: a volume that is mostly holes. */
  readonly file: { readonly sizeBytes: number; readonly sums: Sums | null };
  readonly content: {
    readonly sizeBytes: number;
    /** Null: mostly holes, see HolePolicy; then the root digest alone tells the content. */
    readonly sums: Sums | null;
  };
  /** The content with zeros up to whole clusters, as a device of it reads. */
  readonly device: {
    readonly sizeBytes: number;
    readonly sums: Sums | null;
    /** Over the digests of all clusters; a node makes the same of an lvol with this content. */
    readonly rootDigest: string;
    /** Clusters that are not all zeros: those that take space. */
    readonly dataClusters: number;
  };
}
