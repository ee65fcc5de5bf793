import type { VolumeRecord } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import type { CommandClient, LariatClient } from '@lariat/messaging';
import type { RecordList } from '@lariat/read-model';
import type { CancelRequests, SagaRecord, SagaRunner, SagaStore } from '@lariat/saga';
import type { VolumeStore } from './adapters/volume-store.js';

/** What the controllers work with; injected as VOLUME_SERVICE. */
export interface VolumeService {
  readonly volumes: VolumeStore;
  readonly operations: SagaStore;
  readonly lists: {
    readonly volumes: RecordList<VolumeRecord>;
    readonly snapshots: RecordList<VolumeRecord>;
    readonly operations: RecordList<SagaRecord>;
  };
  readonly cancels: CancelRequests;
  readonly runner: SagaRunner;
  readonly clock: Clock;
  readonly client: LariatClient;
  readonly commands: CommandClient;
}

export const VOLUME_SERVICE = Symbol('VOLUME_SERVICE');
