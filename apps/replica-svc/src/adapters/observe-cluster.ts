import { readQueues } from '@lariat/messaging';
import { METRICS, type Metrics, allObservations, countBy } from '@lariat/telemetry';
import type { NatsConnection } from '@nats-io/nats-core';
import { toNodeView } from '../domain/node-view.js';
import type { Allocator } from './allocator.js';
import type { NodeStore } from './node-store.js';
import type { OrphanStore } from './orphan-store.js';

export interface ObservedCluster {
  readonly connection: NatsConnection;
  readonly nodes: Pick<NodeStore, 'list'>;
  readonly allocator: Pick<Allocator, 'promisedOn'>;
  readonly orphans: Pick<OrphanStore, 'list'>;
  readonly metrics: Metrics;
  readonly nowMs: () => number;
}

/** Tells of nodes, disks, orphans and queues until the answer is called: one of all copies does. */
export function observeCluster(cluster: ObservedCluster): () => void {
  const { connection, nodes, allocator, orphans, metrics, nowMs } = cluster;
  const views = () =>
    nodes.list().map((node) => toNodeView(node, (disk) => allocator.promisedOn(disk)));
  const disks = () => views().flatMap((node) => node.disks);
  const queues = whileUnderWay(() => readQueues(connection, nowMs()));
  return allObservations([
    metrics.observe(METRICS.nodes, () =>
      countBy(views(), ({ name, state, duty }) => ({ 'node.id': name, state, duty })),
    ),
    metrics.observe(METRICS.disks, () =>
      countBy(disks(), ({ node, state }) => ({ 'node.id': node, state })),
    ),
    metrics.observe(METRICS.diskBytes, () =>
      disks().flatMap(({ id, node, capacityBytes, allocatableBytes, scheduledBytes }) =>
        Object.entries({
          capacity: capacityBytes,
          allocatable: allocatableBytes,
          scheduled: scheduledBytes,
        }).map(([of, value]) => ({ value, attributes: { 'node.id': node, 'disk.id': id, of } })),
      ),
    ),
    metrics.observe(METRICS.orphans, () =>
      countBy(orphans.list(), ({ node, kind }) => ({ 'node.id': node, kind })),
    ),
    metrics.observe(METRICS.queueDepth, async () =>
      (await queues()).map(({ stream, consumer, depth }) => ({
        value: depth,
        attributes: { stream, consumer },
      })),
    ),
    metrics.observe(METRICS.queueAge, async () =>
      (await queues()).map(({ stream, consumer, oldestMs }) => ({
        value: oldestMs / 1000,
        attributes: { stream, consumer },
      })),
    ),
  ]);
}

/** Who asks while an answer is under way gets that one: the metrics of a collection are asked for side by side. */
function whileUnderWay<T>(read: () => Promise<T>): () => Promise<T> {
  let reading: Promise<T> | undefined;
  return () => (reading ??= read().finally(() => (reading = undefined)));
}
