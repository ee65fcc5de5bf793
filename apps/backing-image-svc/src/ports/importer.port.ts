import type {
  CommandMap,
  ImageFormatName,
  ImageSourceRecord,
  NvmfEndpoint,
} from '@lariat/contracts';
import type { ImageContent } from '../domain/apply-change.js';
import type { ClusterMap } from '../domain/cluster-map.js';
import type { ImportProgress } from '../domain/progress.js';

export interface DraftAccess {
  readonly endpoint: NvmfEndpoint;
  readonly hostNqn: string;
  /** The disk that it is on, as a person finds it again. */
  readonly node: string;
  readonly disk: string;
}

/** A namespace that a node exports, to be read. */
export interface NamespaceAccess extends Pick<DraftAccess, 'endpoint' | 'hostNqn'> {
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
  /** Has a node answer for one of its files; once more when it has stopped. Rejects when the node is gone. */
  readonly serveFile: (
    node: string,
    input: CommandMap['image.serve-file']['input'],
    timeoutMs: number,
  ) => Promise<CommandMap['image.serve-file']['output']>;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: ImportProgress) => void;
}

/** Brings an image from its source into a draft, and tells what it is. */
export interface Importer {
  import(task: Import): Promise<ImageContent>;
}
