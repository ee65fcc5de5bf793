import type { AnySaga } from '@lariat/saga';
import { createImageSaga } from './create-image.saga.js';
import { deleteImageSaga } from './delete-image.saga.js';
import type { ImageSagaDeps } from './saga-deps.js';
import { spreadImageSaga } from './spread-image.saga.js';
import { verifyImageSaga } from './verify-image.saga.js';

/** Every saga of this service. */
export const imageSagas = (deps: ImageSagaDeps): readonly AnySaga[] => [
  createImageSaga(deps),
  spreadImageSaga(deps),
  deleteImageSaga(deps),
  verifyImageSaga(deps),
];
