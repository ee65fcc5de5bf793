import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { programFile } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

const COUNT = 12;
const nameOf = (index: number): string => `v${String(index).padStart(2, '0')}`;

describe('lists', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
    for (let index = 0; index < COUNT; index += 1) {
      await e2e.client.request('volume.create', {
        name: nameOf(index),
        sizeBytes: (1 + (index % 3)) * MIB,
        replicas: 1,
        labels: { parity: index % 2 === 0 ? 'even' : 'odd' },
      });
    }
  });
  afterAll(async () => {
    await e2e.stop();
  });

  it('lead through all volumes page by page, in each order', async () => {
    for (const sort of ['name', 'created', 'size'] as const) {
      for (const descending of [false, true]) {
        const found: string[] = [];
        let cursor: string | undefined;
        do {
          const page = await e2e.client.request('volume.list', {
            ...{ sort, descending, limit: 5 },
            ...(cursor === undefined ? {} : { cursor }),
          });
          expect(page.total).toBe(COUNT);
          expect(page.volumes.length).toBeLessThanOrEqual(5);
          found.push(...page.volumes.map(({ name }) => name));
          cursor = page.next;
        } while (cursor !== undefined);
        const inOrder = Array.from({ length: COUNT }, (_, index) => nameOf(index));
        expect(found.toSorted()).toEqual(inOrder);
        const keys = found
          .map((name) => Number(name.slice(1)))
          .map((index) => (sort === 'size' ? index % 3 : index));
        expect(keys).toEqual(keys.toSorted((a, b) => (descending ? b - a : a - b)));
      }
    }
  });

  it('have what fits all filters', async () => {
    const { client } = e2e;
    const even = await client.request('volume.list', { labels: { parity: 'even' } });
    expect(even.volumes).toHaveLength(COUNT / 2);
    expect(even.volumes.every(({ labels }) => labels['parity'] === 'even')).toBe(true);
    await client.request('volume.attach', { volume: nameOf(0), node: 'n1', frontend: 'nvmf' });
    const attached = await client.request('volume.list', { state: 'attached', limit: 10 });
    expect(attached).toMatchObject({ total: 1, volumes: [{ name: nameOf(0) }] });
    const none = await client.request('volume.list', {
      ...{ state: 'attached' as const, labels: { parity: 'odd' }, limit: 10 },
    });
    expect(none).toEqual({ volumes: [], total: 0 });
    await client.request('volume.detach', { volume: nameOf(0) });
    const ended = await client.request('operation.list', {
      ...{ kind: 'volume.create', state: 'succeeded' as const, limit: 1 },
    });
    expect(ended).toMatchObject({ total: COUNT, operations: [{ kind: 'volume.create' }] });
    expect((await client.request('node.list', { state: 'ready' })).nodes).toHaveLength(3);
  });

  it('have each change as soon as it is answered', async () => {
    const { client } = e2e;
    await client.request('snapshot.create', { volume: nameOf(1), snapshot: 's' });
    const { snapshots } = await client.request('snapshot.list', { limit: 10 });
    expect(snapshots.filter(({ user }) => user).map(({ name }) => name)).toEqual(['s']);
    await client.request('volume.delete', { volume: nameOf(2) });
    const { total, volumes } = await client.request('volume.list', { limit: COUNT });
    expect(total).toBe(COUNT - 1);
    expect(volumes.map(({ name }) => name)).not.toContain(nameOf(2));
  });

  it('tell how they are served', async () => {
    const message = await e2e.connection.request('$SRV.STATS.volume-svc', '', { timeout: 5_000 });
    const { lists } = message.json<{ lists: Record<string, object> }>();
    expect(lists).toMatchObject({
      volumes: { adapter: 'memory', items: COUNT - 1, lagMs: null, rebuilds: 0 },
      snapshots: { adapter: 'memory' },
      operations: { adapter: 'memory' },
    });
  });

  it('are shown by the command line as they change, with --watch', async () => {
    const { client, cluster } = e2e;
    const watch = spawn(
      process.execPath,
      [
        programFile('apps', 'cli', 'dist', 'main.js'),
        ...['volume', 'list', '--watch', '--json', '--label', 'watched=yes'],
        ...['--nats', cluster.natsUrl],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const ended = once(watch, 'exit');
    const lines = createInterface({ input: watch.stdout })[Symbol.asyncIterator]();
    const next = async (): Promise<unknown> => JSON.parse(String((await lines.next()).value));
    const label = { labels: { watched: 'yes' } };
    const sizeBytes = MIB;
    await client.request('volume.create', { name: 'w', sizeBytes, replicas: 1, ...label });
    expect(await next()).toMatchObject({ type: 'listed', item: { name: 'w' } });
    await client.request('volume.create', { name: 'not-watched', sizeBytes, replicas: 1 });
    await client.request('volume.delete', { volume: 'w' });
    const rest: unknown[] = [];
    do rest.push(await next());
    while ((rest.at(-1) as { type: string }).type !== 'gone');
    expect(rest.at(-1)).toMatchObject({ type: 'gone', item: { name: 'w' } });
    expect(JSON.stringify(rest)).not.toContain('not-watched');
    watch.kill('SIGINT');
    expect((await ended)[0]).not.toBeNull();
  });
});
