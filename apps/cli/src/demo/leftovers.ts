import { BUCKETS, type AllocationRecord } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import type { StoredRecord } from '@lariat/messaging';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import type { Session } from '../client/session.js';
import type { ClusterPaths } from '../cluster/paths.js';
import { callTarget, findTargetSocket } from './target-rpc.js';

/** Every target has it; it exports nothing. */
const DISCOVERY_NQN = 'nqn.2014-08.org.nvmexpress.discovery';
/** What a deleted volume had may still be on its way out: agents are asked again for this long. */
const SETTLE_MS = 10_000;
const POLL_MS = 200;

async function onTarget(paths: ClusterPaths, node: string): Promise<readonly string[]> {
  const socket = await findTargetSocket(paths.node(node));
  if (socket === undefined) return [`${node}: its target does not answer`];
  const [subsystems, lvols, controllers] = (await Promise.all([
    callTarget(socket, 'nvmf_get_subsystems'),
    callTarget(socket, 'bdev_lvol_get_lvols'),
    callTarget(socket, 'bdev_nvme_get_controllers'),
  ])) as [
    readonly { readonly nqn: string }[],
    readonly { readonly alias?: string; readonly name?: string; readonly uuid?: string }[],
    readonly { readonly name: string }[],
  ];
  return [
    ...subsystems
      .filter(({ nqn }) => nqn !== DISCOVERY_NQN)
      .map(({ nqn }) => `${node}: subsystem ${nqn}`),
    ...lvols.map((lvol) => `${node}: lvol ${lvol.alias ?? lvol.name ?? lvol.uuid ?? '?'}`),
    ...controllers.map(({ name }) => `${node}: controller ${name}`),
  ];
}

/** Names, volumes and images must be gone; an allocation record may stay, empty. */
async function inRecords(connection: NatsConnection): Promise<readonly string[]> {
  const kvm = new Kvm(connection);
  const found: string[] = [];
  const { volumes, names, images, imageNames, allocations } = BUCKETS;
  for (const bucket of [volumes, names, images, imageNames, allocations]) {
    const kv = await kvm.open(bucket);
    for await (const key of await kv.keys()) {
      const entry = bucket === BUCKETS.allocations ? await kv.get(key) : null;
      const stored = entry?.json<StoredRecord<AllocationRecord>>().value;
      const promised = { ...stored?.replicas, ...stored?.images };
      if (stored !== undefined && Object.keys(promised).length === 0) continue;
      found.push(`record ${bucket}/${key}`);
    }
  }
  return found;
}

async function onDisks(
  session: Pick<Session, 'request'>,
  nodes: readonly string[],
): Promise<readonly string[]> {
  const { disks } = await session.request('disk.list', {});
  return disks
    .filter(({ node }) => nodes.includes(node))
    .filter(({ scheduledBytes, replicas }) => scheduledBytes > 0 || replicas > 0)
    .map(
      ({ node, name, replicas, images }) =>
        `${node}: disk ${name} has ${replicas} replicas and ${images} images`,
    );
}

/** What is still there after the last volume was deleted; looks until it is nothing or the time is over. */
export async function findLeftovers(
  session: Pick<Session, 'connection' | 'request'>,
  paths: ClusterPaths,
  nodes: readonly string[],
  settleMs = SETTLE_MS,
): Promise<readonly string[]> {
  const deadlineMs = performance.now() + settleMs;
  for (;;) {
    const found = [
      ...(await onDisks(session, nodes)),
      ...(await inRecords(session.connection)),
      ...(await Promise.all(nodes.map((node) => onTarget(paths, node)))).flat(),
    ];
    if (found.length === 0 || performance.now() > deadlineMs) return found;
    await delay(POLL_MS);
  }
}
