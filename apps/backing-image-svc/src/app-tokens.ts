import type { ImageRecord } from '@lariat/contracts';
import type { Clock, ReconcileCounts } from '@lariat/kernel';
import type { CommandClient, LariatClient } from '@lariat/messaging';
import type { RecordList } from '@lariat/read-model';
import type { SagaRunner, SagaStore } from '@lariat/saga';
import type { Log } from '@lariat/telemetry';
import type { ImageStore } from './adapters/image-store.js';
import type { ImageSettings } from './domain/import-settings.js';
import type { CopyEviction } from './reconcilers/evict-copies.js';

/** What the controllers work with; injected as IMAGE_SERVICE. */
export interface ImageService {
  readonly images: ImageStore;
  readonly listed: RecordList<ImageRecord>;
  readonly runner: SagaRunner;
  readonly client: LariatClient;
  readonly commands: Pick<CommandClient, 'send'>;
  readonly clock: Clock;
  readonly settings: Pick<ImageSettings, 'folders'>;
  readonly operations: Pick<SagaStore, 'running'>;
  readonly counts: ReconcileCounts;
  readonly log: Log;
  readonly eviction: Pick<CopyEviction, 'idle' | 'evict'>;
}

export const IMAGE_SERVICE = Symbol('IMAGE_SERVICE');
