import type { FilledSlot } from '../../app/content-pieces.js';
import type { Sums } from '../../domain/checksum.js';
import type { Compression } from '../../domain/image-format.js';
import type { SlotPool } from '../../domain/slot-pool.js';
import type { ByteReader } from '../../ports/byte-reader.port.js';
import type { OpenSink } from '../../ports/content-sink.port.js';
import type { Hashing, RunningSums } from '../../ports/hashing.port.js';
import type { DigestFile } from '../scratch/digest-file.js';
import type { ScratchFolder } from '../scratch/scratch-folder.js';
import type { ImportResources } from './import-resources.js';
import type { ImportEnvironment, ImportOptions } from './import-types.js';
import type { ProgressReport } from './progress-report.js';

/** What the steps of one import share. */
export interface ImportContext {
  readonly options: ImportOptions;
  readonly environment: ImportEnvironment;
  readonly openSink: OpenSink;
  readonly pool: SlotPool;
  readonly hashing: Hashing;
  readonly scratch: ScratchFolder;
  readonly digests: DigestFile;
  readonly resources: ImportResources;
  readonly progress: ProgressReport;
}

/** The file as it was given. */
export interface FileFacts {
  readonly sizeBytes: number;
  readonly sums: Sums;
}

/** An image without what it was packed in. */
export interface ImportStream {
  readonly first: FilledSlot;
  readonly reader: ByteReader;
  readonly packing:
    | null
    /** The file is taken elsewhere; `file` settles when it has been read. */
    | { readonly compression: Compression; readonly file: Promise<FileFacts> };
  /** To be given the stream's bytes: those of the file itself, unless it was packed. */
  readonly sums: RunningSums;
}
