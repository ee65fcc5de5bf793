import { STREAMS } from '@lariat/contracts';
import { definePlugin } from '@lariat/plugin';
import { ReplicaSvcModule } from './replica-svc.module.js';

export const plugin = definePlugin({
  name: 'replica-svc',
  version: '0.1.0',
  description: 'Nodes, disks, placement, replicas, rebuilds and orphans',
  module: (context) => ReplicaSvcModule.register(context),
  subjects: ['node.*', 'disk.*', 'replica.*', 'snapshot.verify', 'orphan.*'],
  streams: [STREAMS.events.name, STREAMS.commands.name],
});

export { DECLARED_DOWN_WITHIN_MS } from './domain/node-health.js';
export type { RebuildDeps } from './sagas/rebuild-memory.js';
export { replicaSagas } from './sagas/replica-sagas.js';
