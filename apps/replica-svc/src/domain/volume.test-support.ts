import type { DiskRecord, NodeRecord, ReplicaRecord, VolumeRecord } from '@lariat/contracts';

/** In sync, on disk `d`. */
export const replicaOn = (
  id: string,
  node: string,
  given: Partial<ReplicaRecord> = {},
): ReplicaRecord => ({
  id,
  node,
  disk: 'd',
  mode: 'RW',
  state: 'ready',
  lvolUuid: null,
  reason: null,
  faultedAtMs: null,
  ...given,
});

/** Attached on n1; with no replicas but those given. */
export const attachedVolume = (given: Partial<VolumeRecord> = {}): VolumeRecord => ({
  id: 'vol-1',
  name: 'v1',
  sizeBytes: 1,
  replicaCount: 3,
  state: 'attached',
  content: { state: 'blank' },
  labels: {},
  createdAt: '',
  uuid: 'u',
  epoch: 2,
  clean: false,
  attachment: {
    epoch: 2,
    node: 'n1',
    frontend: 'nbd',
    endpoint: null,
    engine: null,
    seizedFrom: null,
    inSync: [],
  },
  replicas: [],
  snapshots: [],
  headParent: null,
  operation: null,
  ...given,
});

export const diskNamed = (id: string, name = 'd1'): DiskRecord => ({
  id,
  name,
  path: '',
  tags: [],
  lvsUuid: '',
  capacityBytes: 1,
  clusterSizeBytes: 1,
});

/** In zone `z`, with no disks but those given. */
export const readyNode = (name: string, given: Partial<NodeRecord> = {}): NodeRecord => ({
  name,
  state: 'ready',
  reason: '',
  since: '',
  schedulable: true,
  zone: 'z',
  labels: {},
  traddr: '',
  trsvcid: '',
  frontends: [],
  target: '',
  agentVersion: '',
  agentInstance: '',
  disks: [],
  ...given,
});
