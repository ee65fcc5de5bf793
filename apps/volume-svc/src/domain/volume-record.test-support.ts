import type { ReplicaRecord, VolumeRecord } from '@lariat/contracts';

export const newReplica = (id: string, node: string): ReplicaRecord => ({
  id,
  node,
  disk: `disk-of-${node}`,
  mode: 'RW',
  state: 'ready',
  lvolUuid: `uuid-of-${id}`,
  reason: null,
  faultedAtMs: null,
});

/** A detached, healthy volume of three replicas, but for what is given. */
export function newVolumeRecord(given: Partial<VolumeRecord>): VolumeRecord {
  return {
    id: 'vol-0123456789ab',
    name: 'v1',
    sizeBytes: 1024 ** 2,
    replicaCount: 3,
    state: 'detached',
    content: { state: 'blank' },
    labels: {},
    createdAt: '2026-01-01T00:00:00.000Z',
    uuid: 'u',
    epoch: 1,
    clean: true,
    attachment: null,
    replicas: [newReplica('r1', 'n1'), newReplica('r2', 'n2'), newReplica('r3', 'n3')],
    snapshots: [],
    headParent: null,
    operation: null,
    ...given,
  };
}
