import { randomBytes } from 'node:crypto';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTargetSocket } from '@lariat/cli';
import type { DiskView, DryRun, VolumeView } from '@lariat/contracts';
import { type LariatError, MIB, toLariatError } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
const BOUND_MS = 60_000;

describe('the disks of a node', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    // What is lost is brought up to date when it is back, and not made elsewhere meanwhile.
    e2e = await startE2e({ env: { ...process.env, LARIAT_REBUILD_GRACE_MS: '86400000' } });
    await e2e.client.request('disk.add', {
      ...{ node: 'n1', name: 'd2', sizeBytes: 256 * MIB },
      path: pathOf('d2'),
    });
  }, 180_000);
  afterAll(async () => {
    await e2e.stop();
  });

  const pathOf = (name: string): string => join(e2e.cluster.paths.dataDir, `extra-${name}.img`);
  const view = (volume: string): Promise<VolumeView> =>
    e2e.client.request('volume.get', { volume });
  const diskOf = async (node: string, name: string): Promise<DiskView> => {
    const { disks } = await e2e.client.request('disk.list', { node });
    const found = disks.find((disk) => disk.name === name);
    if (found === undefined) throw new Error(`${node} has no disk ${name}`);
    return found;
  };
  const becomes = (name: string, state: DiskView['state']): Promise<DiskView> =>
    until(`disk ${name} to be ${state}`, BOUND_MS, async () => {
      const disk = await diskOf('n1', name);
      return disk.state === state ? disk : undefined;
    });
  const robust = (volume: string, wanted: VolumeView['robustness']): Promise<VolumeView> =>
    until(`${volume} to be ${wanted}`, BOUND_MS, async () => {
      const now = await view(volume);
      return now.robustness === wanted && now.operation === null ? now : undefined;
    });
  const refusal = async (work: Promise<unknown>): Promise<LariatError> => {
    try {
      await work;
    } catch (error) {
      return toLariatError(error);
    }
    throw new Error('it was accepted');
  };
  /** The target of n1 has the disk open no more, as if it had been unplugged. */
  async function letGo(disk: string): Promise<void> {
    const socketPath = await findTargetSocket(e2e.cluster.paths.node('n1'));
    const target = await SpdkClient.connect({ socketPath: socketPath ?? '' });
    const { bdev } = new Spdk(target);
    const aio = (await bdev.getBdevs()).find(({ name }) => name.includes(disk))?.name ?? '';
    await bdev.aioDelete(aio);
    target.close();
  }
  /** A volume with a replica on d2 of n1, and two elsewhere. */
  async function create(name: string): Promise<VolumeView> {
    await e2e.client.request('disk.update', { node: 'n1', disk: 'd1', schedulable: false });
    const made = await e2e.client.request('volume.create', {
      ...{ name, sizeBytes: SIZE_BYTES, replicas: 3 },
    });
    await e2e.client.request('disk.update', { node: 'n1', disk: 'd1', schedulable: true });
    return made;
  }

  it('are refused when they hold another store, and it is said whose', async () => {
    const { id } = await diskOf('n2', 'd1');
    const add = (node: string, path: string): Promise<unknown> =>
      e2e.client.request('disk.add', { node, path });
    const theirs = join(e2e.cluster.paths.node('n2'), 'disks', 'd1.img');
    const copied = pathOf('copy');

    copyFileSync(theirs, copied);
    const refused = await refusal(add('n1', copied));
    expect(refused.code).toBe('DISK_FOREIGN_CONTENT');
    expect(refused.message).toContain(id);
    expect(refused.message).toMatch(/of node 'n2' of this cluster/);
    const table = pathOf('table');
    const content = Buffer.alloc(64 * MIB);
    content.write('EFI PART', 512);
    writeFileSync(table, content);
    expect((await refusal(add('n1', table))).message).toContain('a GPT partition table');
  }, 180_000);

  it('are lost one by one: what one held is faulted, and nothing else, until it is back', async () => {
    const { client } = e2e;
    await create('at-rest');
    await client.request('disk.update', { node: 'n1', disk: 'd2', schedulable: false });
    await client.request('volume.create', {
      ...{ name: 'beside', sizeBytes: SIZE_BYTES, replicas: 3 },
    });
    await client.request('disk.update', { node: 'n1', disk: 'd2', schedulable: true });
    renameSync(pathOf('d2'), pathOf('away'));
    const lost = await becomes('d2', 'lost');
    expect(lost.reason).toContain(`${pathOf('d2')} is gone`);
    expect(lost.since).not.toBeNull();
    const faulted = await robust('at-rest', 'degraded');
    expect(faulted.replicas.filter(({ mode }) => mode === 'ERR')).toMatchObject([
      { node: 'n1', disk: lost.id, reason: expect.stringContaining('its disk is lost') },
    ]);
    expect(await view('beside')).toMatchObject({ robustness: 'healthy' });
    expect(await diskOf('n1', 'd1')).toMatchObject({ state: 'ready' });
    expect(await client.request('node.get', { node: 'n1' })).toMatchObject({ state: 'ready' });
    await client.request('disk.update', { node: 'n1', disk: 'd1', schedulable: false });
    const create1 = { name: 'no-place', sizeBytes: SIZE_BYTES, replicas: 3 };
    expect((await refusal(client.request('volume.create', create1))).message).toMatch(
      /n1\/d2: it is lost: .* is gone/,
    );
    await client.request('disk.update', { node: 'n1', disk: 'd1', schedulable: true });
    renameSync(pathOf('away'), pathOf('d2'));
    await becomes('d2', 'ready');
    await robust('at-rest', 'healthy');
    expect(await client.request('replica.checksum', { volume: 'at-rest' })).toMatchObject({
      identical: true,
    });
    await client.request('volume.delete', { volume: 'beside' });
  }, 180_000);

  it('are loaded again when the target has let go of one, under I/O, with no write lost', async () => {
    const { client } = e2e;
    const { id } = await diskOf('n1', 'd2');
    await client.request('volume.attach', { volume: 'at-rest', node: 'n2', frontend: 'nbd' });
    const device = await e2e.open('at-rest');
    const data = randomBytes(SIZE_BYTES);
    await device.writeAll(0, data);
    await letGo(id);
    await device.writeAll(0, data.reverse());
    await robust('at-rest', 'healthy');
    expect((await device.read(0, SIZE_BYTES)).equals(data)).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume: 'at-rest' });
    expect(await client.request('replica.checksum', { volume: 'at-rest' })).toMatchObject({
      identical: true,
    });
  }, 180_000);

  it.each([
    { what: 'elsewhere', node: 'n2' },
    { what: 'on their node', node: 'n1' },
  ])(
    'that are unlinked beneath a volume that is attached $what fault their replica, without any I/O, and get it back',
    async ({ node }) => {
      const { client } = e2e;
      const { id } = await diskOf('n1', 'd2');
      await client.request('volume.attach', { volume: 'at-rest', node, frontend: 'nbd' });
      renameSync(pathOf('d2'), pathOf('away'));
      const faulted = await robust('at-rest', 'degraded');
      expect(faulted.replicas.filter(({ mode }) => mode === 'ERR')).toMatchObject([
        { node: 'n1', disk: id },
      ]);
      const device = await e2e.open('at-rest');
      const data = randomBytes(SIZE_BYTES);
      await device.writeAll(0, data);
      renameSync(pathOf('away'), pathOf('d2'));
      await becomes('d2', 'ready');
      await robust('at-rest', 'healthy');
      expect((await device.read(0, SIZE_BYTES)).equals(data)).toBe(true);
      await device.close();
      await client.request('volume.detach', { volume: 'at-rest' });
      expect(await client.request('replica.checksum', { volume: 'at-rest' })).toMatchObject({
        identical: true,
      });
    },
    180_000,
  );

  it('get no new store when theirs is missing, and the node starts without them', async () => {
    const { client, cluster } = e2e;
    await client.request('volume.create', { name: 'alone', sizeBytes: SIZE_BYTES, replicas: 1 });
    renameSync(pathOf('d2'), pathOf('away'));
    const blank = Buffer.alloc(256 * MIB);
    writeFileSync(pathOf('d2'), blank);
    await cluster.killNode('n1');
    await cluster.startNode('n1');
    await until('n1 to be ready', BOUND_MS, async () =>
      (await client.request('node.get', { node: 'n1' })).state === 'ready' ? true : undefined,
    );
    const lost = await becomes('d2', 'lost');
    expect(lost.reason).toMatch(/holds no lvol store, not store .*never made anew/);

    expect(readFileSync(pathOf('d2')).equals(blank)).toBe(true);
    renameSync(pathOf('away'), pathOf('d2'));
    await becomes('d2', 'ready');
    await robust('at-rest', 'healthy');
  }, 180_000);

  it('are emptied before they are removed, when that is asked for, also one that is gone for good', async () => {
    const { client } = e2e;
    const refused = await refusal(client.request('disk.remove', { node: 'n1', disk: 'd2' }));
    expect(refused).toMatchObject({ code: 'DISK_IN_USE' });
    const evacuate = { node: 'n1', disk: 'd2', evacuate: true };
    const dry = (await client.request('disk.remove', { ...evacuate, dryRun: true })) as DryRun;
    expect(dry.would.join('\n')).toMatch(/move replica \S+ \(RW\) of volume 'at-rest' to disk/);
    const { id } = await diskOf('n1', 'd2');
    renameSync(pathOf('d2'), pathOf('away'));
    await letGo(id);
    await becomes('d2', 'lost');
    await robust('at-rest', 'degraded');
    await client.request('disk.remove', evacuate);
    const { disks } = await client.request('disk.list', { node: 'n1' });
    expect(disks.map(({ name }) => name)).toEqual(['d1']);
    const moved = await view('at-rest');
    expect(moved).toMatchObject({ robustness: 'healthy' });
    expect(moved.replicas.map(({ disk }) => disk)).toContain(disks[0]?.id);
    for (const volume of ['at-rest', 'alone']) await client.request('volume.delete', { volume });
    expect(await e2e.leftovers()).toEqual([]);
  }, 180_000);
});
