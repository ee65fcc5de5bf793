import type { ImageFormatName, ImageSourceRecord, NvmfEndpoint } from '@lariat/contracts';
import type { ImageContent } from '../domain/apply-change.js';
import type { ClusterMap } from '../domain/cluster-map.js';
import type { ImportProgress } from '../domain/progress.js';

export interface DraftAccess {
  readonly endpoint: NvmfEndpoint;
  readonly hostNqn: string;
}

/** A namespace that a node exports, to be read. */
export interface NamespaceAccess extends DraftAccess {
  /** For messages. */
  readonly description: string;
  /** Clusters that may hold data; null: any may. */
  readonly map: ClusterMap | null;
}

/** Where the bytes come from: of a volume, what a replica exports of its snapshot, which is taken as it is. */
export type ImportSource =
  | Exclude<ImageSourceRecord, { readonly volume: unknown }>
  | { readonly namespace: NamespaceAccess };

export interface Import {
  readonly source: ImportSource;
  readonly checksum: string | null;
  readonly format: ImageFormatName | null;
  /** Called once, when the size is known: makes the empty draft that the content is written to. */
  readonly openDraft: (sizeBytes: number) => Promise<DraftAccess>;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ImportProgress) => void;
}

/** Brings an image from its source into a draft, and tells what it is. */
export interface Importer {
  import(task: Import): Promise<ImageContent>;
}
