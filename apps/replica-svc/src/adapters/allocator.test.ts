import { join } from 'node:path';
import { systemClock, toLariatError } from '@lariat/kernel';
import { connectNats } from '@lariat/messaging';
import { findNatsBinary, startNats } from '@lariat/testing';
import { describe, expect, it } from 'vitest';
import { Allocator } from './allocator.js';
import { NodeStore } from './node-store.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..', '..'));
const MIB = 1024 ** 2;

describe.skipIf(binary === undefined)('allocations on a real nats-server', () => {
  it('are never overbooked by two instances at once, and come back when they are released', async () => {
    const nats = await startNats(binary ?? '');
    const connections = await Promise.all(
      ['a', 'b'].map((name) => connectNats({ servers: nats.url, name })),
    );
    const instances = await Promise.all(
      connections.map(async (connection) => {
        const nodes = await NodeStore.open(connection, systemClock);
        return { nodes, allocator: await Allocator.open(connection, nodes, systemClock) };
      }),
    );
    const [first, second] = instances;
    if (first === undefined || second === undefined) throw new Error('two instances were made');
    const names = ['n1', 'n2', 'n3'];
    for (const name of names) {
      await first.nodes.register({
        name,
        zone: 'z',
        labels: {},
        traddr: '127.0.0.1',
        trsvcid: '1',
        frontends: [],
        target: 't',
        agentVersion: '1',
        agentInstance: 'i',
        disks: [
          {
            id: `disk-${name}`,
            name: 'd',
            path: '/d',
            tags: [],
            lvsUuid: 'u',
            capacityBytes: 60 * MIB,
            clusterSizeBytes: MIB,
          },
        ],
      });
    }
    const deadline = performance.now() + 5_000;
    while (second.nodes.list().length < 3 && performance.now() < deadline)
      await new Promise((resolve) => setImmediate(resolve));
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const { allocator } = index % 2 === 0 ? first : second;
        const replicas = [0, 1].map((leg) => `rep-${index}-${leg}`);
        try {
          return await allocator.reserve({
            volume: `vol-${index}`,
            replicas,
            sizeBytes: MIB,
            excludeNodes: [],
          });
        } catch (error) {
          return toLariatError(error).code;
        }
      }),
    );
    const placed = outcomes.filter((outcome) => typeof outcome !== 'string');
    // 180 places, two a request: 90 fit, and what did not fit was told so.
    expect(placed).toHaveLength(90);
    expect(new Set(outcomes.filter((outcome) => typeof outcome === 'string'))).toEqual(
      new Set(['NO_CAPACITY']),
    );
    const perDisk = new Map<string, number>();
    for (const { disk } of placed.flat()) perDisk.set(disk, (perDisk.get(disk) ?? 0) + 1);
    expect([...perDisk.values()]).toEqual([60, 60, 60]);
    const again = await first.allocator.reserve({
      volume: 'vol-again',
      replicas: [placed[0]?.[0]?.replica ?? ''],
      sizeBytes: MIB,
      excludeNodes: [],
    });
    expect(again[0]).toEqual(placed[0]?.[0]);
    await first.allocator.release(placed.flat().map(({ replica }) => replica));
    await first.allocator.release(placed.flat().map(({ replica }) => replica));
    expect(names.map((name) => first.allocator.promisedOn(`disk-${name}`).scheduledBytes)).toEqual([
      0, 0, 0,
    ]);
    await Promise.all(connections.map((connection) => connection.close()));
    await nats.stop();
  }, 30_000);
});
