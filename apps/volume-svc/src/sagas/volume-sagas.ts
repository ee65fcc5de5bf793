import type { AnySaga } from '@lariat/saga';
import { attachVolumeSaga } from './attach-volume.saga.js';
import { cloneVolumeSaga } from './clone-volume.saga.js';
import { createSnapshotGroupSaga } from './create-snapshot-group.saga.js';
import { createSnapshotSaga } from './create-snapshot.saga.js';
import { createVolumeSaga } from './create-volume.saga.js';
import { deleteSnapshotSaga } from './delete-snapshot.saga.js';
import { deleteVolumeSaga } from './delete-volume.saga.js';
import { detachVolumeSaga } from './detach-volume.saga.js';
import { expandVolumeSaga } from './expand-volume.saga.js';
import { lendSnapshotSaga } from './lend-snapshot.saga.js';
import { recoverClusterSaga } from './recover-cluster.saga.js';
import { revertSnapshotSaga } from './revert-snapshot.saga.js';
import type { SagaDeps } from './saga-deps.js';
import { updateVolumeSaga } from './update-volume.saga.js';

/** Every saga of this service. */
export const volumeSagas = (deps: SagaDeps): readonly AnySaga[] => [
  createVolumeSaga(deps),
  cloneVolumeSaga(deps),
  deleteVolumeSaga(deps),
  attachVolumeSaga(deps),
  detachVolumeSaga(deps),
  expandVolumeSaga(deps),
  updateVolumeSaga(deps),
  createSnapshotSaga(deps),
  createSnapshotGroupSaga(deps),
  deleteSnapshotSaga(deps),
  revertSnapshotSaga(deps),
  lendSnapshotSaga(deps),
  recoverClusterSaga(deps),
];
