import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskView, ImageView } from '@lariat/contracts';
import { MIB, newVolumeId, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const NODES = ['n1', 'n2', 'n3'];
const DISK_BYTES = 128 * MIB;
const LEAST_FREE_PERCENT = 10;
/** In the order in which they become idle. */
const IMAGES = { cold: 24, cache: 24, extra: 12, kept: 4 } as const;
type ImageName = keyof typeof IMAGES;

describe('copies of images that nobody uses, on disks that fill up,', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-eviction-'));
  let e2e: E2eCluster;
  let sites: { node: string; disk: string }[];
  /** Where the volume is that stands on `extra`. */
  let usedOn: string;

  const importOf = (name: string, mib: number, minimumCopies: number): Promise<ImageView> => {
    const path = join(folder, name);
    writeFileSync(path, randomBytes(mib * MIB));
    return e2e.client.request(
      'image.create',
      { name, source: { file: { path } }, minimumCopies },
      { timeoutMs: 60_000 },
    );
  };
  const hasEnough = ({ availableBytes, allocatableBytes }: DiskView): boolean =>
    availableBytes * 100 >= allocatableBytes * LEAST_FREE_PERCENT;
  const disks = async () => (await e2e.client.request('disk.list', {})).disks;
  /** Nodes with a copy of the image, in whichever state. */
  const nodesWith = async (image: ImageName): Promise<readonly string[]> => {
    const { copies } = await e2e.client.request('image.get', { image });
    return copies.map(({ node }) => node).toSorted();
  };
  const copiesLeft = async () => {
    const counts = Object.keys(IMAGES).map(
      async (image) => [image, (await nodesWith(image as ImageName)).length] as const,
    );
    return Object.fromEntries(await Promise.all(counts)) as Record<ImageName, number>;
  };
  /** A copy on each disk; none is idle for a minute from now on. */
  const want = async (name: ImageName): Promise<void> => {
    const { id: image } = await e2e.client.request('image.get', { image: name });
    await e2e.client.request(
      'internal.image.ensure-copies',
      { image, disks: sites, volume: newVolumeId() },
      { timeoutMs: 60_000 },
    );
  };
  const create = (name: string, mib: number, replicas: number) =>
    e2e.client.request(
      'volume.create',
      { name, sizeBytes: mib * MIB, replicas },
      { timeoutMs: 60_000 },
    );

  beforeAll(async () => {
    e2e = await startE2e({
      diskSizeBytes: DISK_BYTES,
      env: {
        ...process.env,
        LARIAT_REBUILD: 'manual',
        LARIAT_IMAGE_LEAST_FREE_PERCENT: String(LEAST_FREE_PERCENT),
        // What goes goes for want of room.
        LARIAT_IMAGE_EVICT_AFTER_MS: '3600000',
      },
    });
    sites = (await disks()).map(({ node, id }) => ({ node, disk: id }));
    for (const [name, mib] of Object.entries(IMAGES)) {
      await importOf(name, mib, name === 'kept' ? 3 : 1);
      await want(name as ImageName);
    }
    const user = await e2e.client.request('volume.create', {
      ...{ name: 'user', image: 'extra', replicas: 1 },
    });
    usedOn = user.replicas[0]?.node ?? '';
  }, 120_000);
  afterAll(async () => {
    await e2e.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('go at once where less than the threshold is left, the one that was idle for longest first', async () => {
    // All of the room of the fullest disk, which leaves 12 MiB on the others.
    const room = (await disks()).map(({ availableBytes }) => availableBytes);
    for (const image of Object.keys(IMAGES)) await want(image as ImageName);
    await create('pressing', Math.min(...room) / MIB, 3);
    // Each was wanted within the last minute: none goes, whatever the disks lack.
    expect(await copiesLeft()).toEqual({ cold: 3, cache: 3, extra: 3, kept: 3 });
    expect((await disks()).some(hasEnough)).toBe(false);
    await until('enough room on each disk', 120_000, async () => {
      return (await disks()).every(hasEnough) || undefined;
    });
    // `cold` has to keep one: where that is, the next one went.
    expect(await copiesLeft()).toEqual({ cold: 1, cache: 2, extra: 3, kept: 3 });
    const [kept] = await nodesWith('cold');
    expect(await nodesWith('cache')).toEqual(NODES.filter((node) => node !== kept));
  }, 150_000);

  it('go for a volume that finds no room, and no more than it takes', async () => {
    const volume = await create('large', 44, 1);
    expect(volume).toMatchObject({ state: 'detached', robustness: 'healthy' });
    expect(await copiesLeft()).toEqual({ cold: 1, cache: 1, extra: 3, kept: 3 });
    expect(await nodesWith('cache')).not.toContain(volume.replicas[0]?.node);
  });

  it('go for another image, and stay where something stands on them', async () => {
    const { copies } = await importOf('fresh', 44, 1);
    expect(copies).toMatchObject([{ state: 'ready' }]);
    expect(await copiesLeft()).toMatchObject({ cold: 1, cache: 1, extra: 2, kept: 3 });
    expect(await nodesWith('extra')).toEqual(
      NODES.filter((node) => node !== copies[0]?.node).toSorted(),
    );
    expect(await nodesWith('extra')).toContain(usedOn);
  });

  it('go in vain for nobody: who is refused is told what copies keep', async () => {
    const before = await copiesLeft();
    const error = await create('refused', 100, 1).catch((reason: unknown) => toLariatError(reason));
    expect(error).toMatchObject({ code: 'NO_CAPACITY' });
    expect((error as Error).message).toContain(
      'held by copies of images that are in use or needed',
    );
    await expect(importOf('refused', 100, 1)).rejects.toMatchObject({ code: 'NO_CAPACITY' });
    expect(await copiesLeft()).toEqual(before);
  });

  it('leave nothing', async () => {
    for (const volume of ['user', 'pressing', 'large'])
      await e2e.client.request('volume.delete', { volume });
    for (const image of [...Object.keys(IMAGES), 'fresh', 'refused'])
      await e2e.client.request('image.delete', { image });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
