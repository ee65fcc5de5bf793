import type { NodeRecord, OrphanRecord } from '@lariat/contracts';
import type { LariatClient } from '@lariat/messaging';
import type { RecordList } from '@lariat/read-model';
import type { SagaRunner, SagaStore } from '@lariat/saga';
import type { StoreRecords } from './adapters/store-records.js';
import type { OrphanPolicy } from './domain/orphans.js';
import type { RebuildDeps } from './sagas/rebuild-memory.js';

/** What the controllers work with; injected as REPLICA_SERVICE. */
export interface ReplicaService extends RebuildDeps {
  readonly stores: StoreRecords;
  readonly orphanPolicy: OrphanPolicy;
  readonly lists: {
    readonly nodes: RecordList<NodeRecord>;
    readonly orphans: RecordList<OrphanRecord>;
  };
  readonly operations: SagaStore;
  readonly runner: SagaRunner;
  readonly client: Pick<LariatClient, 'request' | 'connection'>;
}

export const REPLICA_SERVICE = Symbol('REPLICA_SERVICE');
