import type { SagaRunner, SagaStore } from '@lariat/saga';
import type { RebuildDeps } from './sagas/rebuild-memory.js';

/** What the controllers work with; injected as REPLICA_SERVICE. */
export interface ReplicaService extends RebuildDeps {
  readonly operations: SagaStore;
  readonly runner: SagaRunner;
}

export const REPLICA_SERVICE = Symbol('REPLICA_SERVICE');
