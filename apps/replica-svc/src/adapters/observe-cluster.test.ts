import { join } from 'node:path';
import { STREAMS, commandConsumer, commandSubject } from '@lariat/contracts';
import { connectNats, ensureStreams, makeCommandConsumer } from '@lariat/messaging';
import { METRICS, type Metrics, NO_METRICS } from '@lariat/telemetry';
import { findNatsBinary, startNats } from '@lariat/testing';
import { expect, it, onTestFinished, vi } from 'vitest';
import { observeCluster } from './observe-cluster.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..', '..'));

it.skipIf(binary === undefined)(
  'asks for the queues once a collection, which has two metrics of them',
  async () => {
    const nats = await startNats(binary ?? '');
    const connection = await connectNats({ servers: nats.url, name: 'test' });
    onTestFinished(async () => {
      await connection.close();
      await nats.stop();
    });
    await ensureStreams(connection);
    await makeCommandConsumer(connection, 'n1');
    // Answered when it is stored.
    await connection.request(commandSubject('n1', 'replica.create'), '{}');

    const readings = new Map<string, () => unknown>();
    const metrics: Metrics = {
      ...NO_METRICS,
      observe: ({ name }, read) => {
        readings.set(name, read);
        return () => undefined;
      },
    };
    const none = { list: () => [], promisedOn: () => 0 } as never;
    const nowMs = (): number => Date.now() + 60_000;
    observeCluster({
      ...{ connection, metrics, nowMs },
      ...{ nodes: none, allocator: none, orphans: none },
    });
    const asked = vi.spyOn(connection, 'request');
    const lists = (): number =>
      asked.mock.calls.filter(([subject]) => subject.includes('CONSUMER.LIST')).length;
    const collect = (): Promise<unknown> =>
      Promise.all([METRICS.queueDepth, METRICS.queueAge].map(({ name }) => readings.get(name)?.()));

    const attributes = { stream: STREAMS.commands.name, consumer: commandConsumer('n1') };
    const told = [[{ value: 1, attributes }], [{ value: expect.any(Number), attributes }]];
    expect(await collect()).toEqual(told);
    expect(lists()).toBe(2);
    // The next one does not tell what was.
    expect(await collect()).toEqual(told);
    expect(lists()).toBe(4);
  },
);
