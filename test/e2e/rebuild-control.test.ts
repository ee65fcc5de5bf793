import { randomBytes } from 'node:crypto';
import { type OperationView, isEnded } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 24 * MIB;

describe('a rebuild that an operator governs', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({ nodes: 3 });
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('v');
    for (const [snapshot, from, to] of [
      ['one', 0, 12],
      ['two', 8, 20],
    ] as const) {
      await device.write(from * MIB, randomBytes((to - from) * MIB));
      await client.request('snapshot.create', { volume: 'v', snapshot });
    }
    await device.close();
  });
  afterAll(async () => {
    await e2e.stop();
  });

  beforeEach(async () => {
    const { client } = e2e;
    const { replicas } = await client.request('volume.get', { volume: 'v' });
    const gone = replicas.find(({ node }) => node === 'n2');
    if (gone !== undefined)
      await client.request('replica.remove', { volume: 'v', replica: gone.id });
  });

  const update = (asked: { paused?: boolean; cancel?: boolean; mibPerSecond?: number | null }) =>
    e2e.client.request('rebuild.update', { volume: 'v', ...asked });

  async function begin(): Promise<string> {
    const body = { volume: 'v', wait: false };
    const { operation } = (await e2e.client.requestRaw('replica.rebuild', body, {})) as {
      operation: OperationView;
    };
    return operation.id;
  }

  const operation = (id: string) => e2e.client.request('operation.get', { operation: id });
  const ended = (id: string) =>
    until('the rebuild to end', 60_000, async () => {
      const seen = await operation(id);
      return isEnded(seen.state) ? seen : undefined;
    });
  const copying = (id: string) =>
    until('the copy to begin', 20_000, async () =>
      (await operation(id)).step === 'copy' ? true : undefined,
    );

  it('writes no more than its limit', async () => {
    await update({ mibPerSecond: 8 });
    const beganAt = performance.now();
    const { rebuilt } = await e2e.client.request(
      'replica.rebuild',
      { volume: 'v' },
      { timeoutMs: 60_000 },
    );
    const tookMs = performance.now() - beganAt;
    expect(rebuilt).toMatchObject({ node: 'n2', copiedBytes: 24 * MIB });
    expect(tookMs).toBeGreaterThan(2_900);
  });

  it('waits while it is paused, says so, and goes on when it is resumed', async () => {
    await update({ mibPerSecond: 8 });
    const id = await begin();
    await copying(id);
    expect(await update({ paused: true })).toMatchObject({ rebuild: { paused: true } });
    await until('the wait to be shown', 20_000, async () =>
      (await operation(id)).progress?.unit === 'paused by request' ? true : undefined,
    );
    expect(await e2e.client.request('volume.get', { volume: 'v' })).toMatchObject({
      robustness: 'degraded',
      operation: id,
    });
    await update({ paused: false, mibPerSecond: 0 });
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
  });

  it('leaves a replica that is back as it was when it is cancelled, and starts again from that', async () => {
    const { client, cluster } = e2e;
    await client.request('replica.rebuild', { volume: 'v' }, { timeoutMs: 60_000 });
    await cluster.killNode('n2');
    const device = await e2e.open('v');
    await until('the volume to be degraded', 20_000, async () =>
      (await client.request('volume.get', { volume: 'v' })).robustness === 'degraded'
        ? true
        : undefined,
    );
    await device.write(2 * MIB, randomBytes(10 * MIB));
    await cluster.startNode('n2');
    await until('the node to be ready', 20_000, async () =>
      (await client.request('node.get', { node: 'n2' })).state === 'ready' ? true : undefined,
    );
    await update({ mibPerSecond: 1 });
    const id = await begin();
    const seen = await until('progress within the page', 20_000, async () => {
      const { rebuild } =
        (await client.request('replica.list', { volume: 'v' })).replicas.find(
          ({ node }) => node === 'n2',
        ) ?? {};
      return (rebuild?.doneBytes ?? 0) > 0 ? rebuild : undefined;
    });
    expect(seen).toMatchObject({ operation: id, totalBytes: SIZE_BYTES });
    expect(seen?.doneBytes).toBeLessThan(SIZE_BYTES);
    await update({ cancel: true });
    expect(await ended(id)).toMatchObject({ error: { code: 'OPERATION_CANCELLED' } });
    const { replicas } = await client.request('volume.get', { volume: 'v' });
    expect(replicas.map(({ node, mode }) => [node, mode])).toContainEqual(['n2', 'ERR']);
    // What the cancelled one has copied of this is not wanted any more.
    const zeros = Buffer.alloc(2 * MIB);
    await device.write(2 * MIB, zeros);
    await update({ mibPerSecond: 0 });
    let writing = true;
    const writer = (async () => {
      const data = randomBytes(64 * 1024);
      while (writing) await device.write(20 * MIB, data);
    })();
    const again = await client.request('replica.rebuild', { volume: 'v' }, { timeoutMs: 60_000 });
    writing = false;
    await writer;
    expect(again.rebuilt).toMatchObject({ node: 'n2', reused: true, keptSnapshots: 2 });
    // 8 MiB of random bytes, and the cluster that was written to until the replica joined.
    expect(again.rebuilt.copiedBytes).toBeLessThanOrEqual(9 * MIB);
    expect(again).toMatchObject({ robustness: 'healthy' });
    expect((await device.read(2 * MIB, 2 * MIB)).equals(zeros)).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    expect(await client.request('replica.checksum', { volume: 'v' })).toMatchObject({
      identical: true,
    });
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
  }, 120_000);

  it('is undone when it is cancelled, and made again on request', async () => {
    await update({ mibPerSecond: 1 });
    const id = await begin();
    await copying(id);
    await update({ cancel: true });
    const cancelledAt = performance.now();
    const seen = await ended(id);
    // Not after the piece, which would take 12 s.
    expect(performance.now() - cancelledAt).toBeLessThan(9_000);
    expect(seen).toMatchObject({ state: 'failed', error: { code: 'OPERATION_CANCELLED' } });
    const view = await e2e.client.request('volume.get', { volume: 'v' });
    expect(view).toMatchObject({ operation: null, rebuild: { paused: true } });
    expect(view.replicas.map(({ mode }) => mode)).toEqual(['RW', 'RW']);
    await expect(update({ cancel: true })).rejects.toMatchObject({
      code: 'OPERATION_NOT_CANCELLABLE',
    });
    await update({ mibPerSecond: null });
    const again = await e2e.client.request(
      'replica.rebuild',
      { volume: 'v' },
      { timeoutMs: 60_000 },
    );
    expect(again).toMatchObject({ robustness: 'healthy', rebuild: { paused: false } });
    await e2e.client.request('volume.detach', { volume: 'v' });
    for (const snapshot of [{}, { snapshot: 'one' }, { snapshot: 'two' }])
      expect(
        await e2e.client.request('replica.checksum', { volume: 'v', ...snapshot }),
      ).toMatchObject({ identical: true });
    await e2e.client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers()).toEqual([]);
  }, 120_000);
});
