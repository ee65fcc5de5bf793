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
    expect(new Set(outcomes.filter((outcome) => typeof outcome === 'string'))).toEqual(
      new Set(['NO_CAPACITY']),
    );
    // Two instances that fill them at once may hold a half of what each is after, and refuse it; what it held is free then.
    const placements = placed.flat();
    const perDisk = (): readonly number[] =>
      names.map((name) => placements.filter(({ node }) => node === name).length);
    for (const count of perDisk()) expect(count).toBeLessThanOrEqual(60);
    for (let index = 0; perDisk().filter((count) => count < 60).length > 1; index += 1) {
      const replicas = [0, 1].map((leg) => `rep-late-${index}-${leg}`);
      const late = { volume: `vol-late-${index}`, replicas, sizeBytes: MIB, excludeNodes: [] };
      placements.push(...(await second.allocator.reserve(late)));
    }
    const again = await first.allocator.reserve({
      volume: 'vol-again',
      replicas: [placed[0]?.[0]?.replica ?? ''],
      sizeBytes: MIB,
      excludeNodes: [],
    });
    expect(again[0]).toEqual(placed[0]?.[0]);
    await first.allocator.release(placements.map(({ replica }) => replica));
    await first.allocator.release(placements.map(({ replica }) => replica));
    expect(names.map((name) => first.allocator.promisedOn(`disk-${name}`).scheduledBytes)).toEqual([
      0, 0, 0,
    ]);
    await Promise.all(connections.map((connection) => connection.close()));
    await nats.stop();
  }, 30_000);
});
