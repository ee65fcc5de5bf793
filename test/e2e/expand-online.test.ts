import { randomBytes } from 'node:crypto';
import { MIB } from '@lariat/kernel';
import { NvmeTcpHost } from '@lariat/nvme-tcp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
const GROWN_BYTES = 20 * MIB;

describe('a volume that grows while it is used', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
  });
  afterAll(async () => {
    await e2e.stop();
  });

  const expectIdentical = async (volume: string): Promise<void> => {
    await e2e.client.request('volume.detach', { volume });
    const sums = await e2e.client.request('replica.checksum', { volume });
    expect(sums).toMatchObject({ identical: true });
    expect(sums.replicas).toHaveLength(3);
  };

  it('serves its NBD clients all the while, and shows the new size to the next one', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.attach', { volume: 'v', node: 'n2', frontend: 'nbd' });
    const before = await e2e.open('v');
    const model = Buffer.alloc(GROWN_BYTES);
    const writeAt = async (device: typeof before, offset: number, length: number) => {
      const data = randomBytes(length);
      await device.write(offset, data);
      data.copy(model, offset);
    };
    let writing = true;
    const writer = (async () => {
      for (let at = 0; writing; at = (at + 16_384) % SIZE_BYTES) await writeAt(before, at, 16_384);
    })();
    const grown = await client.request('volume.expand', { volume: 'v', sizeBytes: GROWN_BYTES });
    expect(grown).toMatchObject({
      sizeBytes: GROWN_BYTES,
      state: 'attached',
      robustness: 'healthy',
    });
    writing = false;
    await writer;
    expect(before.sizeBytes).toBe(SIZE_BYTES);
    const after = await e2e.open('v');
    expect(after.sizeBytes).toBe(GROWN_BYTES);
    await writeAt(after, GROWN_BYTES - 4096, 4096);
    await writeAt(after, SIZE_BYTES - 2048, 4096);
    expect((await after.read(0, GROWN_BYTES)).equals(model)).toBe(true);
    await before.close();
    await after.close();
    // What is there is done: no operation, and no smaller volume.
    expect(
      await client.request('volume.expand', { volume: 'v', sizeBytes: GROWN_BYTES }),
    ).toMatchObject({ sizeBytes: GROWN_BYTES, operation: null });
    await expect(
      client.request('volume.expand', { volume: 'v', sizeBytes: SIZE_BYTES }),
    ).rejects.toMatchObject({ code: 'VOLUME_SHRINK' });
    await expectIdentical('v');
  });

  it('tells an NVMe/TCP host by an event: it needs no reconnect', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'w', sizeBytes: SIZE_BYTES, replicas: 3 });
    const { attachment } = await client.request('volume.attach', {
      volume: 'w',
      node: 'n1',
      frontend: 'nvmf',
    });
    const { hostname, port, pathname } = new URL(
      (attachment?.endpoint ?? '').replace('nvme+tcp:', 'http:'),
    );
    const controller = await NvmeTcpHost.connect({
      traddr: hostname,
      trsvcid: port,
      subnqn: pathname.slice(1),
      hostnqn: attachment?.hostNqns?.[0] ?? '',
    });
    try {
      let reconnects = 0;
      controller.on('reconnecting', () => (reconnects += 1));
      const [namespace] = controller.namespaces();
      if (namespace === undefined) throw new Error('the volume shows no namespace');
      expect(namespace.sizeBytes).toBe(SIZE_BYTES);
      await client.request('volume.expand', { volume: 'w', sizeBytes: GROWN_BYTES });
      await until('the namespace to show the new size', 5_000, async () =>
        namespace.sizeBytes === GROWN_BYTES ? true : undefined,
      );
      const data = randomBytes(MIB);
      await namespace.write(GROWN_BYTES - MIB, data);
      expect((await namespace.read(GROWN_BYTES - MIB, MIB)).equals(data)).toBe(true);
      expect(reconnects).toBe(0);
    } finally {
      await controller.close();
    }
    await expectIdentical('w');
  });

  it('goes on without a replica whose node is dead, and that one is rebuilt in the new size', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'x', sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.attach', { volume: 'x', node: 'n1', frontend: 'nbd' });
    await e2e.cluster.killNode('n3');
    const grown = await client.request(
      'volume.expand',
      { volume: 'x', sizeBytes: GROWN_BYTES },
      { timeoutMs: 60_000 },
    );
    expect(grown).toMatchObject({ sizeBytes: GROWN_BYTES, robustness: 'degraded' });
    const device = await e2e.open('x');
    expect(device.sizeBytes).toBe(GROWN_BYTES);
    const data = randomBytes(MIB);
    await device.write(GROWN_BYTES - MIB, data);
    await e2e.cluster.startNode('n3');
    await until('n3 to be ready', 20_000, async () =>
      (await client.request('node.get', { node: 'n3' })).state === 'ready' ? true : undefined,
    );
    await client.request('replica.rebuild', { volume: 'x' }, { timeoutMs: 60_000 });
    expect((await device.read(GROWN_BYTES - MIB, MIB)).equals(data)).toBe(true);
    await device.close();
    await expectIdentical('x');
  });

  it('goes and leaves nothing', async () => {
    for (const volume of ['v', 'w', 'x']) await e2e.client.request('volume.delete', { volume });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
