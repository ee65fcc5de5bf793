import { STREAMS } from '@lariat/contracts';
import { definePlugin } from '@lariat/plugin';
import { VolumeSvcModule } from './volume-svc.module.js';

export const plugin = definePlugin({
  name: 'volume-svc',
  version: '0.1.0',
  description: 'Volumes, snapshots, attachments and operations',
  module: (context) => VolumeSvcModule.register(context),
  subjects: ['volume.*', 'snapshot.*', 'operation.*'],
  streams: [STREAMS.events.name, STREAMS.commands.name],
});

export { applyVolumeChanges } from './domain/apply-change.js';
export { VOLUME_COPIES } from './domain/record-copies.js';
export type { SagaDeps } from './sagas/saga-deps.js';
export { volumeSagas } from './sagas/volume-sagas.js';
