import { randomBytes } from 'node:crypto';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type NbdClient } from '@lariat/cli';
import type { RebuiltVolumeView } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const PIECE_BYTES = 4 * MIB;

async function fill(device: NbdClient, fromBytes: number, sizeBytes: number): Promise<void> {
  for (let offset = 0; offset < sizeBytes; offset += PIECE_BYTES) {
    const lengthBytes = Math.min(PIECE_BYTES, sizeBytes - offset);
    await device.write(fromBytes + offset, randomBytes(lengthBytes));
  }
  await device.flush();
}

describe('a replica that comes back', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({
      nodes: 3,
      // A replica that is away is waited for; one that is back is brought up to date by itself.
      env: { ...process.env, LARIAT_REBUILD_GRACE_MS: '86400000' },
    });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  /** A volume on all three nodes, attached; one of the other nodes is to be the victim. */
  async function made(name: string, sizeBytes: number) {
    const { client } = e2e;
    const { replicas } = await client.request('volume.create', { name, sizeBytes, replicas: 3 });
    const [home, victim] = replicas.map(({ node }) => node);
    if (home === undefined || victim === undefined) throw new Error('three replicas were made');
    await client.request('volume.attach', { volume: name, node: home, frontend: 'nbd' });
    const lost = replicas.find(({ node }) => node === victim)?.id ?? '';
    return { device: await e2e.open(name), home, victim, lost };
  }

  async function loses(volume: string, victim: string): Promise<void> {
    await e2e.cluster.killNode(victim);
    await until('the volume to be degraded', 20_000, async () =>
      (await e2e.client.request('volume.get', { volume })).robustness === 'degraded'
        ? true
        : undefined,
    );
  }

  /** Brings the node back and waits for the rebuild that begins by itself; answers what it did. */
  async function returns(volume: string, victim: string): Promise<RebuiltVolumeView['rebuilt']> {
    const { client } = e2e;
    const { id } = await client.request('volume.get', { volume });
    await e2e.cluster.startNode(victim);
    return until('the rebuild of the replica that is back', 60_000, async () => {
      const { operations } = await client.request('operation.list', {});
      const rebuild = operations.find(
        ({ kind, subject }) => kind === 'replica.rebuild' && subject === `volume/${id}`,
      );
      if (rebuild?.state === 'failed' || rebuild?.state === 'stuck')
        throw new Error(JSON.stringify(rebuild.error));
      if (rebuild?.state !== 'succeeded') return undefined;
      return (rebuild.result as unknown as RebuiltVolumeView).rebuilt;
    });
  }

  async function expectIdentical(volume: string, ...snapshots: string[]): Promise<void> {
    const { client } = e2e;
    await client.request('volume.detach', { volume });
    for (const snapshot of [undefined, ...snapshots]) {
      const sums = await client.request(
        'replica.checksum',
        { volume, ...(snapshot === undefined ? {} : { snapshot }) },
        { timeoutMs: 60_000 },
      );
      expect(sums.replicas).toHaveLength(3);
      expect(sums).toMatchObject({ identical: true });
    }
    await client.request('volume.delete', { volume });
    expect(await e2e.leftovers(40_000)).toEqual([]);
  }

  it('gets only what has changed: 1 % overwritten, at most 2 % copied', async () => {
    const sizeBytes = 200 * MIB;
    const { device, victim, lost } = await made('one-percent', sizeBytes);
    await fill(device, 0, sizeBytes);
    await loses('one-percent', victim);
    // Across cluster boundaries, as it comes in practice.
    const changed = randomBytes(sizeBytes / 100);
    await device.write(77 * MIB + 4096, changed);
    const rebuilt = await returns('one-percent', victim);
    expect(rebuilt).toMatchObject({ replica: lost, node: victim, reused: true });
    expect(rebuilt.copiedBytes).toBeGreaterThanOrEqual(changed.length);
    expect(rebuilt.copiedBytes).toBeLessThanOrEqual(0.02 * sizeBytes);
    expect((await device.read(77 * MIB + 4096, changed.length)).equals(changed)).toBe(true);
    await device.close();
    await expectIdentical('one-percent');
  }, 180_000);

  it('keeps its snapshots, gets those that were taken meanwhile, and loses those that were deleted', async () => {
    const { client } = e2e;
    const volume = 'with-snapshots';
    const { device, victim } = await made(volume, 48 * MIB);
    for (const snapshot of ['first', 'second', 'third']) {
      await fill(device, 0, 40 * MIB);
      await client.request('snapshot.create', { volume, snapshot });
    }
    await fill(device, 40 * MIB, MIB);
    await loses(volume, victim);
    await fill(device, 4 * MIB, MIB);
    await client.request('snapshot.delete', { volume, snapshot: 'second' });
    await client.request('snapshot.create', { volume, snapshot: 'meanwhile' });
    await fill(device, 8 * MIB, MIB);
    const rebuilt = await returns(volume, victim);
    expect(rebuilt).toMatchObject({ reused: true, keptSnapshots: 2, copiedBytes: 2 * MIB });
    await device.close();
    await expectIdentical(volume, 'first', 'third', 'meanwhile');
  }, 180_000);

  it('gets a snapshot anew that its disk has corrupted', async () => {
    const { client } = e2e;
    const volume = 'corrupted';
    const { device, victim } = await made(volume, 32 * MIB);
    await fill(device, 0, 32 * MIB);
    const marked = await device.read(5 * MIB, 4096);
    await client.request('snapshot.create', { volume, snapshot: 'old' });
    await fill(device, 20 * MIB, 2 * MIB);
    await client.request('snapshot.create', { volume, snapshot: 'newer' });
    await loses(volume, victim);
    await corrupt(e2e.cluster.paths.node(victim), marked);
    const rebuilt = await returns(volume, victim);
    // The corrupted cluster and, for each of both snapshots, the two that differ from the one to the other.
    expect(rebuilt).toMatchObject({ reused: true, keptSnapshots: 0, copiedBytes: 5 * MIB });
    await device.close();
    await expectIdentical(volume, 'old', 'newer');
  }, 180_000);

  it('ends with the tree of snapshots on record after a revert while it was away, and so does a new replica', async () => {
    const { client } = e2e;
    const volume = 'tree';
    const { device, home, victim, lost } = await made(volume, 24 * MIB);
    await fill(device, 0, 8 * MIB);
    await client.request('snapshot.create', { volume, snapshot: 'a' });
    await fill(device, 4 * MIB, 8 * MIB);
    await client.request('snapshot.create', { volume, snapshot: 'b' });
    await loses(volume, victim);
    await device.close();
    await client.request('volume.detach', { volume });
    await client.request('snapshot.revert', { volume, snapshot: 'a' });
    await client.request('volume.attach', { volume, node: home, frontend: 'nbd' });
    const again = await e2e.open(volume);
    await fill(again, 16 * MIB, 2 * MIB);
    await client.request('snapshot.create', { volume, snapshot: 'c' });
    const rebuilt = await returns(volume, victim);
    expect(rebuilt).toMatchObject({ reused: true, keptSnapshots: 2, copiedBytes: 2 * MIB });
    await client.request('replica.remove', { volume, replica: lost });
    const anew = await client.request('replica.rebuild', { volume }, { timeoutMs: 60_000 });
    // 8 MiB of a, 8 of b, 2 of c.
    expect(anew.rebuilt).toMatchObject({ reused: false, copiedBytes: 18 * MIB });
    await again.close();
    await expectIdentical(volume, 'a', 'b', 'c');
  }, 180_000);

  it('gets all of it when nothing of what it has is of use', async () => {
    const volume = 'rewritten';
    const sizeBytes = 32 * MIB;
    const { device, victim } = await made(volume, sizeBytes);
    await fill(device, 0, sizeBytes);
    await loses(volume, victim);
    await fill(device, 0, sizeBytes);
    const rebuilt = await returns(volume, victim);
    expect(rebuilt).toMatchObject({ reused: true, keptSnapshots: 0, copiedBytes: sizeBytes });
    await device.close();
    await expectIdentical(volume);
  }, 180_000);
});

/** Flips a byte of a block, wherever below the folder a disk holds it. */
async function corrupt(folder: string, block: Buffer): Promise<void> {
  const names = await readdir(join(folder, 'disks'), { recursive: true });
  let found = 0;
  for (const name of names) {
    const file = await open(join(folder, 'disks', name), 'r+');
    try {
      if (!(await file.stat()).isFile()) continue;
      const { size } = await file.stat();
      const piece = Buffer.alloc(MIB);
      for (let offset = 0; offset < size; offset += MIB) {
        await file.read(piece, 0, MIB, offset);
        const at = piece.indexOf(block);
        if (at === -1) continue;
        const flipped = Buffer.from([(block[0] ?? 0) ^ 0xff]);
        await file.write(flipped, 0, 1, offset + at);
        found += 1;
      }
    } finally {
      await file.close();
    }
  }
  if (found !== 1) throw new Error(`the block is on the disk ${found} times`);
}
