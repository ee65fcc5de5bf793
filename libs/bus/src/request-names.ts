/** Every request, by the service that answers it. What a name asks and answers is in the contracts' `requests.ts`. */
export const REQUESTS = {
  'volume-svc': [
    'volume.create',
    'volume.get',
    'volume.list',
    'volume.delete',
    'volume.update',
    'volume.expand',
    'volume.attach',
    'volume.detach',
    'snapshot.create',
    'snapshot.create-group',
    'snapshot.get',
    'snapshot.list',
    'snapshot.delete',
    'snapshot.revert',
    'operation.get',
    'operation.cancel',
    'operation.list',
    'operation.wait',
    'audit.list',
    'dead-letter.list',
    'cluster.recover',
    'internal.volume.report-engine',
    'internal.volume.record',
    'internal.volume.set-content',
    'internal.volume.change',
    'internal.volume.users-of-image',
    'internal.volume.lend-snapshot',
    'internal.event.open-consumer',
  ],
  'replica-svc': [
    'node.list',
    'node.get',
    'node.cordon',
    'node.uncordon',
    'node.drain',
    'node.remove',
    'node.update',
    'node.restart-target',
    'disk.list',
    'disk.add',
    'disk.remove',
    'disk.update',
    'replica.list',
    'replica.remove',
    'replica.rebuild',
    'replica.move',
    'replica.checksum',
    'rebuild.update',
    'snapshot.verify',
    'orphan.list',
    'orphan.delete',
    'internal.node.register',
    'internal.node.claim-store',
    'internal.node.open-commands',
    'internal.volume.scale',
    'internal.placement.reserve',
    'internal.placement.grow',
    'internal.placement.release',
    'internal.placement.promise-copy',
    'internal.placement.release-copy',
    'internal.placement.restore',
  ],
  'backing-image-svc': [
    'image.list',
    'image.get',
    'image.create',
    'image.verify',
    'image.delete',
    'internal.image.record',
    'internal.image.ensure-copies',
    'internal.image.recover',
    'internal.image.idle-copies',
    'internal.image.evict-copies',
    'internal.image.leave-disk',
    'internal.image.forget-node',
  ],
} as const;

export type ServiceName = keyof typeof REQUESTS;
export type RequestName = (typeof REQUESTS)[ServiceName][number];

export const SERVICE_NAMES = Object.keys(REQUESTS) as readonly ServiceName[];
export const REQUEST_NAMES: readonly RequestName[] = SERVICE_NAMES.flatMap(
  (service) => REQUESTS[service],
);

/** Made by agents, of their own node, and by nobody else. */
export const NODE_REQUESTS = [
  'internal.node.register',
  'internal.node.claim-store',
  'internal.node.open-commands',
  'internal.volume.report-engine',
] as const satisfies readonly RequestName[];
export type NodeRequestName = (typeof NODE_REQUESTS)[number];

export const isNodeRequest = (name: string): name is NodeRequestName =>
  (NODE_REQUESTS as readonly string[]).includes(name);

/** Between the parts: no user's business. */
export const isInternal = (name: string): boolean => name.startsWith('internal.');

/** What the CSI plugin asks for. */
export const CSI_REQUESTS = [
  'node.list',
  'node.get',
  'volume.create',
  'volume.get',
  'volume.list',
  'volume.delete',
  'volume.update',
  'volume.expand',
  'volume.attach',
  'volume.detach',
  'snapshot.create',
  'snapshot.create-group',
  'snapshot.get',
  'snapshot.list',
  'snapshot.delete',
  'image.get',
  'rebuild.update',
  'operation.wait',
  'internal.volume.set-content',
] as const satisfies readonly RequestName[];

/** And what its part on a node asks for: whoever breaks into that machine deletes no volume with it. */
export const CSI_NODE_REQUESTS = [
  'node.list',
  'node.get',
  'volume.get',
  'internal.volume.set-content',
] as const satisfies readonly RequestName[];

/** Who did what, and what could not be handled: no plugin's business. */
const OF_OPERATORS: readonly string[] = ['audit.list', 'dead-letter.list'];

/** Change nothing. */
export const READ_REQUESTS = REQUEST_NAMES.filter(
  (name) => /\.(get|list|wait)$/.test(name) && !isInternal(name) && !OF_OPERATORS.includes(name),
);
