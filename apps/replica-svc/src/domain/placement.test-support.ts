import type { DiskState } from './disk-state.js';
import type { PlaceRequest } from './place.js';

/** A disk of 100 bytes, alone on a ready node of the same name. */
export const disk = (node: string, given: Partial<DiskState> = {}): DiskState => ({
  disk: `disk-${node}`,
  name: 'd1',
  node,
  zone: 'z1',
  nodeReady: true,
  nodeState: 'ready: heartbeats arrive',
  nodeSchedulable: true,
  nodeTags: [],
  diskSchedulable: true,
  diskTags: [],
  allocatableBytes: 100,
  scheduledBytes: 0,
  imageBytes: 0,
  replicas: new Map(),
  ...given,
});

export const request = (
  replicas: readonly string[],
  given: Partial<PlaceRequest> = {},
): PlaceRequest => ({ volume: 'vol-1', replicas, sizeBytes: 10, excludeNodes: [], ...given });
