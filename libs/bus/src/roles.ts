import { SERVICE_NAMES, type ServiceName } from './request-names.js';
import { BUCKETS, type BucketName } from './subjects.js';

/** As whom a process is on the bus. */
export type BusRole =
  | { readonly kind: 'service'; readonly service: ServiceName }
  /** Speaks for one node alone. */
  | { readonly kind: 'agent'; readonly node: string }
  /** The CSI plugin, with its part for Kubernetes' control plane. */
  | { readonly kind: 'csi' }
  /** Its part on a node alone. */
  | { readonly kind: 'csi-node' }
  /** The command line, and whoever else asks for what users may ask for. */
  | { readonly kind: 'api' }
  /** A plugin that is not one of ours: hears events and asks for what changes nothing. */
  | { readonly kind: 'plugin' }
  /** May do everything: for operators who repair something by hand. */
  | { readonly kind: 'admin' };

/** Those that each cluster has once; agents come with their nodes. */
export const CLUSTER_ROLES: readonly BusRole[] = [
  ...SERVICE_NAMES.map((service) => ({ kind: 'service', service }) as const),
  { kind: 'csi' },
  { kind: 'csi-node' },
  { kind: 'api' },
  { kind: 'plugin' },
  { kind: 'admin' },
];

/** A role's name, of which its file of credentials is called. */
export function userOf(role: BusRole): string {
  if (role.kind === 'service') return role.service;
  return role.kind === 'agent' ? `agent-${role.node}` : role.kind;
}

/** As whom a plugin's host connects it. */
export const pluginRole = (plugin: string): BusRole =>
  SERVICE_NAMES.includes(plugin as ServiceName)
    ? { kind: 'service', service: plugin as ServiceName }
    : { kind: 'plugin' };

/**
 * Below which a role hears the answers to what it asks. Users have the one that each NATS client has by itself, so that any
 * will do; all others one that nobody else may hear.
 */
export const inboxOf = (role: BusRole): string =>
  role.kind === 'api' ? USERS_INBOX : `${OTHERS_INBOX}.${userOf(role)}`;

export const USERS_INBOX = '_INBOX';
export const OTHERS_INBOX = '_LARIAT_INBOX';

/** Which service's records a bucket has; `all`: each service writes there. */
export const BUCKET_WRITERS = {
  [BUCKETS.volumes]: 'volume-svc',
  [BUCKETS.names]: 'volume-svc',
  [BUCKETS.deleted]: 'volume-svc',
  [BUCKETS.nodes]: 'replica-svc',
  [BUCKETS.allocations]: 'replica-svc',
  [BUCKETS.orphans]: 'replica-svc',
  [BUCKETS.stores]: 'replica-svc',
  [BUCKETS.images]: 'backing-image-svc',
  [BUCKETS.imageNames]: 'backing-image-svc',
  [BUCKETS.deletedImages]: 'backing-image-svc',
  [BUCKETS.operations]: 'all',
  [BUCKETS.leases]: 'all',
  [BUCKETS.subjects]: 'all',
  [BUCKETS.cancels]: 'all',
} as const satisfies Readonly<Record<BucketName, ServiceName | 'all'>>;

export const BUCKET_NAMES = Object.values(BUCKETS) as readonly BucketName[];
