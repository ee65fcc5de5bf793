import { randomBytes } from 'node:crypto';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;

describe('snapshots', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
  });
  afterAll(async () => {
    await e2e.stop();
  });

  const attached = async <T>(
    work: (device: Awaited<ReturnType<E2eCluster['open']>>) => Promise<T>,
  ): Promise<T> => {
    await e2e.client.request('volume.attach', { volume: 'v', node: 'n2', frontend: 'nbd' });
    const device = await e2e.open('v');
    try {
      return await work(device);
    } finally {
      await device.close();
      await e2e.client.request('volume.detach', { volume: 'v' });
    }
  };
  const content = (): Promise<Buffer> => attached((device) => device.read(0, SIZE_BYTES));
  const names = async (): Promise<readonly (readonly [string, string | null])[]> => {
    const { snapshots } = await e2e.client.request('snapshot.list', { volume: 'v' });
    const nameOf = new Map(snapshots.map(({ id, name }) => [id, name]));
    return snapshots.map(({ name, parent }) => [
      name,
      parent === null ? null : (nameOf.get(parent) ?? parent),
    ]);
  };

  it('keep each its moment, through reverts and deletes in the middle', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 3 });
    const moments = new Map<string, Buffer>();
    const model = Buffer.alloc(SIZE_BYTES);
    await attached(async (device) => {
      for (const name of ['one', 'two', 'three']) {
        for (let write = 0; write < 12; write += 1) {
          // Parts of clusters too: what a cluster keeps of its parent must stay.
          const offset = Math.floor(Math.random() * (SIZE_BYTES / 4096 - 8)) * 4096;
          const data = randomBytes(4096 * (1 + (write % 8)));
          await device.write(offset, data);
          data.copy(model, offset);
        }
        await client.request('snapshot.create', { volume: 'v', snapshot: name });
        moments.set(name, Buffer.from(model));
      }
      await device.write(0, randomBytes(MIB));
    });
    expect(await names()).toEqual([
      ['one', null],
      ['two', 'one'],
      ['three', 'two'],
    ]);

    await client.request('snapshot.revert', { volume: 'v', snapshot: 'two' });
    expect((await content()).equals(moments.get('two') ?? Buffer.alloc(0))).toBe(true);
    // 'three' is a branch of its own now, and still holds its moment.
    await client.request('snapshot.revert', { volume: 'v', snapshot: 'three' });
    expect((await content()).equals(moments.get('three') ?? Buffer.alloc(0))).toBe(true);

    await client.request('snapshot.delete', { volume: 'v', snapshot: 'two' });
    expect(await names()).toEqual([
      ['one', null],
      ['three', 'one'],
    ]);
    expect((await content()).equals(moments.get('three') ?? Buffer.alloc(0))).toBe(true);
    await client.request('snapshot.revert', { volume: 'v', snapshot: 'one' });
    expect((await content()).equals(moments.get('one') ?? Buffer.alloc(0))).toBe(true);

    for (const snapshot of ['one', 'three', undefined]) {
      const sums = await client.request('replica.checksum', {
        volume: 'v',
        ...(snapshot === undefined ? {} : { snapshot }),
      });
      expect(sums).toMatchObject({ identical: true });
      expect(sums.replicas).toHaveLength(3);
    }
  });

  it('survive an expand; the new part reads zero', async () => {
    const { client } = e2e;
    const before = await content();
    await client.request('volume.expand', { volume: 'v', sizeBytes: SIZE_BYTES + 4 * MIB });
    const after = await attached((device) => device.read(0, SIZE_BYTES + 4 * MIB));
    expect(after.subarray(0, SIZE_BYTES).equals(before)).toBe(true);
    expect(after.subarray(SIZE_BYTES).every((byte) => byte === 0)).toBe(true);
  });

  it('come to a rebuilt replica as the tree that they are', async () => {
    const { client } = e2e;
    await client.request('snapshot.create', { volume: 'v', snapshot: 'four' });
    await attached(async (device) => device.write(4096, randomBytes(MIB)));
    const live = await content();
    const { replicas } = await client.request('replica.list', { volume: 'v' });
    const [gone] = replicas;
    if (gone === undefined) throw new Error('the volume has no replica');
    await client.request('replica.remove', { volume: 'v', replica: gone.id });
    await client.request('replica.rebuild', { volume: 'v' }, { timeoutMs: 60_000 });
    for (const snapshot of ['one', 'three', 'four', undefined]) {
      const sums = await client.request('replica.checksum', {
        volume: 'v',
        ...(snapshot === undefined ? {} : { snapshot }),
      });
      expect(sums).toMatchObject({ identical: true });
      expect(sums.replicas).toHaveLength(3);
    }
    expect((await content()).equals(live)).toBe(true);
  });

  it('go with their volume, and leave nothing', async () => {
    await e2e.client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
