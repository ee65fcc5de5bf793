import type {
  CommandMap,
  ImageFormatName,
  ImageSourceRecord,
  NvmfEndpoint,
} from '@lariat/contracts';
import type { ImageContent } from '../domain/apply-change.js';
import type { ImportProgress } from '../domain/progress.js';

export interface DraftAccess {
  readonly endpoint: NvmfEndpoint;
  readonly hostNqn: string;
  /** The disk that it is on, as a person finds it again. */
  readonly node: string;
  readonly disk: string;
}

export interface Import {
  readonly source: ImageSourceRecord;
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
