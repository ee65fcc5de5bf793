import type { AnySaga } from '@lariat/saga';
import { checksumReplicasSaga } from './checksum-replicas.saga.js';
import { deleteOrphanSaga } from './delete-orphan.saga.js';
import { addDiskSaga, removeDiskSaga } from './disk.saga.js';
import { drainNodeSaga } from './drain-node.saga.js';
import type { RebuildDeps } from './rebuild-memory.js';
import { moveReplicaSaga, rebuildReplicaSaga } from './rebuild-replica.saga.js';
import { removeNodeSaga } from './remove-node.saga.js';
import { removeReplicaSaga } from './remove-replica.saga.js';
import { restartTargetSaga } from './restart-target.saga.js';
import { scaleVolumeSaga } from './scale-volume.saga.js';
import { verifySnapshotSaga } from './verify-snapshot.saga.js';

/** Every saga of this service. */
export const replicaSagas = (deps: RebuildDeps): readonly AnySaga[] => [
  rebuildReplicaSaga(deps),
  moveReplicaSaga(deps),
  scaleVolumeSaga(deps),
  removeReplicaSaga(deps),
  checksumReplicasSaga(),
  verifySnapshotSaga(deps),
  addDiskSaga(deps),
  removeDiskSaga(deps),
  drainNodeSaga(deps),
  restartTargetSaga(),
  deleteOrphanSaga(deps),
  removeNodeSaga(deps),
];
