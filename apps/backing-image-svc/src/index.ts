import { STREAMS } from '@lariat/contracts';
import { definePlugin } from '@lariat/plugin';
import { BackingImageModule } from './image.module.js';

export const plugin = definePlugin({
  name: 'backing-image-svc',
  version: '0.1.0',
  description: 'Disk images and their copies',
  module: (context) => BackingImageModule.register(context),
  subjects: ['image.*'],
  streams: [STREAMS.events.name, STREAMS.commands.name],
});

export { applyImageChanges } from './domain/apply-change.js';
export { IMAGE_COPIES } from './domain/record-copies.js';
export { IMAGE_EVENTS, IMAGE_MACHINE } from './domain/image-machine.js';
export { imageSagas } from './sagas/image-sagas.js';
export type { ImageSagaDeps } from './sagas/saga-deps.js';
