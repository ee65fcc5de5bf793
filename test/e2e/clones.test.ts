import { randomBytes } from 'node:crypto';
import { isEnded } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 12 * MIB;

describe('clones', () => {
  let e2e: E2eCluster;
  /** What the snapshot 'first' of 'source' holds, and what 'source' itself does. */
  let first: Buffer;
  const model = Buffer.alloc(SIZE_BYTES);
  beforeAll(async () => {
    e2e = await startE2e({ nodes: 4 });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  type Device = Awaited<ReturnType<E2eCluster['open']>>;
  const withVolume = async <T>(
    volume: string,
    node: string,
    work: (device: Device) => Promise<T>,
  ): Promise<T> => {
    await e2e.client.request('volume.attach', { volume, node, frontend: 'nbd' });
    const device = await e2e.open(volume);
    try {
      return await work(device);
    } finally {
      await device.close();
      await e2e.client.request('volume.detach', { volume });
    }
  };
  const content = (volume: string): Promise<Buffer> =>
    withVolume(volume, 'n1', (device) => device.read(0, device.sizeBytes));
  const scribble = async (device: Device, into: Buffer): Promise<void> => {
    for (let write = 0; write < 12; write += 1) {
      const offset = Math.floor(Math.random() * (SIZE_BYTES / 4096 - 64)) * 4096;
      const data = randomBytes(4096 * (1 + (write % 64)));
      await device.write(offset, data);
      data.copy(into, offset);
    }
  };
  const expectIdentical = async (volume: string, replicas: number): Promise<void> => {
    const sums = await e2e.client.request('replica.checksum', { volume });
    expect(sums).toMatchObject({ identical: true });
    expect(sums.replicas).toHaveLength(replicas);
  };
  const disksOf = async (volume: string): Promise<readonly string[]> =>
    (await e2e.client.request('volume.get', { volume })).replicas
      .map(({ disk }) => disk)
      .toSorted();
  const hidden = async (): Promise<readonly string[]> => {
    const { snapshots } = await e2e.client.request('snapshot.list', { volume: 'source' });
    return snapshots.filter(({ madeFor }) => madeFor === 'clone').map(({ id }) => id);
  };

  it('of a snapshot have its content at once, and go their own way', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'source', sizeBytes: SIZE_BYTES, replicas: 3 });
    await withVolume('source', 'n1', async (device) => {
      await scribble(device, model);
      await client.request('snapshot.create', { volume: 'source', snapshot: 'zero' });
      await scribble(device, model);
      await client.request('snapshot.create', { volume: 'source', snapshot: 'first' });
      first = Buffer.from(model);
      await scribble(device, model);
    });
    const made = await client.request('volume.create', {
      name: 'linked',
      source: { volume: 'source', snapshot: 'first' },
    });
    const source = await client.request('volume.get', { volume: 'source' });
    expect(made).toMatchObject({ sizeBytes: SIZE_BYTES, replicaCount: 3, robustness: 'healthy' });
    expect(made.source?.volume).toBe(source.id);
    expect(source.clones).toMatchObject([{ volume: made.id, name: 'linked', state: 'ready' }]);
    expect(await disksOf('linked')).toEqual(await disksOf('source'));
    expect((await content('linked')).equals(first)).toBe(true);
    const changed = Buffer.from(first);
    await withVolume('linked', 'n2', (device) => scribble(device, changed));
    expect((await content('linked')).equals(changed)).toBe(true);
    expect((await content('source')).equals(model)).toBe(true);
    await expectIdentical('linked', 3);
    await expect(
      client.request('snapshot.delete', { volume: 'source', snapshot: 'first' }),
    ).rejects.toMatchObject({
      code: 'SNAPSHOT_IN_USE',
      message: expect.stringContaining("'linked'") as string,
    });
    await client.request('volume.delete', { volume: 'linked' });
    expect((await client.request('volume.get', { volume: 'source' })).clones).toEqual([]);
  });

  it('of a volume in use hold one moment of it, may be larger, and their snapshot goes with them', async () => {
    const { client } = e2e;
    await withVolume('source', 'n1', async (device) => {
      let writing = true;
      const writer = (async () => {
        while (writing) await scribble(device, model);
      })();
      const made = await client.request('volume.create', {
        name: 'live',
        source: { volume: 'source' },
        sizeBytes: 2 * SIZE_BYTES,
      });
      expect(made).toMatchObject({ sizeBytes: 2 * SIZE_BYTES, robustness: 'healthy' });
      writing = false;
      await writer;
      expect((await device.read(0, SIZE_BYTES)).equals(model)).toBe(true);
    });
    await expectIdentical('live', 3);
    const grown = (await content('live')).subarray(SIZE_BYTES);
    expect(grown.every((byte) => byte === 0)).toBe(true);
    expect(await hidden()).toHaveLength(1);
    await client.request('volume.delete', { volume: 'live' });
    await until('the hidden snapshot to go', 15_000, async () =>
      (await hidden()).length === 0 ? true : undefined,
    );
    expect((await content('source')).equals(model)).toBe(true);
  });

  it('where the source has no replica are full copies, and share nothing', async () => {
    const { client } = e2e;
    const away = (await client.request('node.list', {})).nodes.map(({ name }) => name);
    const used = new Set(
      (await client.request('volume.get', { volume: 'source' })).replicas.map(({ node }) => node),
    );
    const [only] = away.filter((node) => !used.has(node));
    if (only === undefined) throw new Error('all nodes have a replica of the source');
    await client.request('node.update', { node: only, tags: ['apart'] });
    const made = await client.request('volume.create', {
      name: 'copied',
      source: { volume: 'source', snapshot: 'first' },
      replicas: 1,
      placement: { nodeTags: ['apart'] },
    });
    expect(made.replicas.map(({ node }) => node)).toEqual([only]);
    expect((await client.request('volume.get', { volume: 'source' })).clones).toEqual([]);
    expect((await content('copied')).equals(first)).toBe(true);
    // A clone of a clone, copied and shared at once.
    await client.request('snapshot.create', { volume: 'copied', snapshot: 'again' });
    await client.request('volume.create', {
      name: 'both',
      source: { volume: 'copied', snapshot: 'again' },
      replicas: 3,
      placement: {},
    });
    expect((await content('both')).equals(first)).toBe(true);
    await expectIdentical('both', 3);
    await client.request('volume.delete', { volume: 'both' });
    await client.request('volume.delete', { volume: 'copied' });
  });

  it('outlive their source, and are rebuilt whole', async () => {
    const { client } = e2e;
    const from = { volume: 'source', snapshot: 'first' };
    for (const name of ['one', 'two'])
      await client.request('volume.create', { name, source: from });
    // A replica of a clone is made anew elsewhere, with what it shared.
    const { replicas } = await client.request('volume.get', { volume: 'one' });
    const [gone] = replicas;
    if (gone === undefined) throw new Error('the clone has no replica');
    await client.request('replica.remove', { volume: 'one', replica: gone.id });
    await client.request('replica.rebuild', { volume: 'one' }, { timeoutMs: 60_000 });
    await expectIdentical('one', 3);
    expect((await content('one')).equals(first)).toBe(true);
    // So is one of the source, although clones stand on what the old one had.
    const [old] = (await client.request('volume.get', { volume: 'source' })).replicas;
    await client.request('replica.remove', { volume: 'source', replica: old?.id ?? '' });
    await client.request('replica.rebuild', { volume: 'source' }, { timeoutMs: 60_000 });
    await expectIdentical('source', 3);
    expect((await content('source')).equals(model)).toBe(true);
    expect(await client.request('volume.delete', { volume: 'source', dryRun: true })).toMatchObject(
      { would: expect.arrayContaining([expect.stringContaining("clone 'two'")]) as unknown },
    );
    await client.request('volume.delete', { volume: 'source' });
    for (const name of ['one', 'two']) {
      await expectIdentical(name, 3);
      expect((await content(name)).equals(first)).toBe(true);
    }
    await client.request('volume.delete', { volume: 'one' });
    expect((await content('two')).equals(first)).toBe(true);
    await client.request('volume.delete', { volume: 'two' });
    expect(await e2e.leftovers()).toEqual([]);
  });

  it.each([
    [{ name: 'c' }, 'SIZE_INVALID'],
    [{ name: 'c', source: { volume: 'nobody' } }, 'VOLUME_NOT_FOUND'],
    [{ name: 'c', source: { volume: 'small', snapshot: 'none' } }, 'SNAPSHOT_NOT_FOUND'],
    [{ name: 'c', source: { volume: 'small' }, sizeBytes: MIB }, 'VOLUME_SHRINK'],
    [{ name: 'small', source: { volume: 'small' } }, 'VOLUME_NAME_TAKEN'],
    [{ name: 'c', source: { volume: 'small' }, replicas: 5 }, 'NOT_ENOUGH_NODES'],
  ])('that cannot be are refused and leave nothing: %j', async (request, code) => {
    const { client } = e2e;
    const small = { name: 'small', sizeBytes: 4 * MIB };
    await client.request('volume.create', small);
    const { id } = await client.request('volume.get', { volume: 'small' });
    await expect(client.request('volume.create', request)).rejects.toMatchObject({ code });
    await until('the source to be as it was', 20_000, async () => {
      const { clones } = await client.request('volume.get', { volume: 'small' });
      const { snapshots } = await client.request('snapshot.list', { volume: 'small' });
      // The deletion of the snapshot that was taken for the clone may be about to end: it is in the way until it has.
      const { operations } = await client.request('operation.list', { volume: id });
      const isQuiet = operations.every(({ state }) => isEnded(state));
      return clones.length + snapshots.length === 0 && isQuiet ? true : undefined;
    });
    await client.request('volume.delete', { volume: 'small' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
