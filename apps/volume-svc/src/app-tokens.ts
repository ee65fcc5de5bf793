import type { Clock } from '@lariat/kernel';
import type { CommandClient, LariatClient } from '@lariat/messaging';
import type { CancelRequests, SagaRunner, SagaStore } from '@lariat/saga';
import type { VolumeStore } from './adapters/volume-store.js';

/** What the controllers work with; injected as VOLUME_SERVICE. */
export interface VolumeService {
  readonly volumes: VolumeStore;
  readonly operations: SagaStore;
  readonly cancels: CancelRequests;
  readonly runner: SagaRunner;
  readonly clock: Clock;
  readonly client: LariatClient;
  readonly commands: CommandClient;
}

export const VOLUME_SERVICE = Symbol('VOLUME_SERVICE');
