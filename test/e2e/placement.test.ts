import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { findTargetSocket, programFile } from '@lariat/cli';
import type { DiskView, PlacementExplanation, RequestMap, VolumeView } from '@lariat/contracts';
import { type LariatError, MIB, toLariatError } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const NODES = ['n1', 'n2', 'n3'];
const DISK_BYTES = 256 * MIB;

describe('placement', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({ nodes: 3, diskSizeBytes: DISK_BYTES });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  const disks = async (): Promise<readonly DiskView[]> =>
    (await e2e.client.request('disk.list', {})).disks;
  const promised = async (): Promise<readonly number[]> =>
    (await disks()).map(({ scheduledBytes }) => scheduledBytes);
  const setDisk = (
    node: string,
    given: Omit<RequestMap['disk.update']['request'], 'node' | 'disk'>,
  ): Promise<DiskView> => e2e.client.request('disk.update', { node, disk: 'd1', ...given });
  const create = (
    name: string,
    given: Partial<RequestMap['volume.create']['request']> = {},
  ): Promise<VolumeView> =>
    e2e.client.request('volume.create', { name, sizeBytes: 8 * MIB, replicas: 1, ...given });
  const refusal = async (work: Promise<unknown>): Promise<LariatError> => {
    try {
      await work;
    } catch (error) {
      return toLariatError(error);
    }
    throw new Error('it was accepted');
  };
  const connectTarget = async (node: string): Promise<SpdkClient> => {
    const socketPath = await findTargetSocket(e2e.cluster.paths.node(node));
    if (socketPath === undefined) throw new Error(`${node} has no target`);
    return SpdkClient.connect({ socketPath });
  };
  const nodesOf = ({ replicas }: VolumeView): readonly string[] =>
    replicas.map(({ node }) => node).toSorted();

  afterEach(async () => {
    const { volumes } = await e2e.client.request('volume.list', {});
    for (const { name, attachment } of volumes) {
      if (attachment !== null) await e2e.client.request('volume.detach', { volume: name });
      await e2e.client.request('volume.delete', { volume: name });
    }
    for (const node of NODES) {
      await setDisk(node, {
        tags: null,
        schedulable: true,
        reservedBytes: 0,
        overProvisioningPercent: 100,
      });
      await e2e.client.request('node.update', { node, tags: [], zone: null });
      await e2e.client.request('node.uncordon', { node });
    }
    const left = (await promised()).filter((bytes) => bytes !== 0);
    if (left.length > 0) throw new Error(`something is promised still: ${left.join(', ')}`);
  });

  it('keeps replicas in different zones: in need not when that is soft, and never when it is hard', async () => {
    await e2e.client.request('node.update', { node: 'n1', zone: 'a' });
    await e2e.client.request('node.update', { node: 'n2', zone: 'a' });
    await e2e.client.request('node.update', { node: 'n3', zone: 'b' });
    expect(nodesOf(await create('soft', { replicas: 2 }))).toContain('n3');
    expect(nodesOf(await create('all', { replicas: 3 }))).toEqual(NODES);
    const error = await refusal(create('hard', { replicas: 3, placement: { zone: 'hard' } }));
    expect(error.code).toBe('NOT_ENOUGH_NODES');
    const { wanted, placed, disks: verdicts } = error.details as unknown as PlacementExplanation;
    expect([wanted, placed]).toEqual([3, 2]);
    expect(verdicts.map(({ node }) => node).toSorted()).toEqual(NODES);
    expect(verdicts.find(({ chosen }) => chosen === 0)?.reasons).toEqual([
      { obstacle: 'zone-taken', message: 'zone a has another replica of the volume' },
    ]);
  });

  it('goes by tags, for a rebuild too, and a cordoned disk gets nothing', async () => {
    const { client } = e2e;
    await setDisk('n1', { tags: ['ssd'] });
    await setDisk('n2', { tags: ['ssd', 'new'] });
    await client.request('node.update', { node: 'n1', tags: ['west'] });
    const placement = { diskTags: ['ssd'] };
    const volume = await create('tagged', { replicas: 2, placement });
    expect(nodesOf(volume)).toEqual(['n1', 'n2']);
    expect(volume.placement).toEqual({
      node: 'hard',
      zone: 'soft',
      disk: 'soft',
      nodeTags: [],
      diskTags: ['ssd'],
    });
    const gone = volume.replicas.find(({ node }) => node === 'n2')?.id ?? '';
    await client.request('replica.remove', { volume: 'tagged', replica: gone });
    await setDisk('n2', { schedulable: false });
    const refused = await refusal(client.request('replica.rebuild', { volume: 'tagged' }));
    expect(refused.message).toContain('n2/d1: it is cordoned');
    expect(refused.message).toContain('n3/d1: it lacks tag ssd');
    await setDisk('n2', { schedulable: true });
    await client.request('replica.rebuild', { volume: 'tagged' }, { timeoutMs: 60_000 });
    expect(nodesOf(await client.request('volume.get', { volume: 'tagged' }))).toEqual(['n1', 'n2']);
    expect(
      nodesOf(await create('one', { placement: { diskTags: ['ssd'], nodeTags: ['west'] } })),
    ).toEqual(['n1']);
  });

  it('promises what is left of a disk without its reserve, times its percentage', async () => {
    const [first] = await disks();
    const capacityBytes = first?.capacityBytes ?? 0;
    for (const node of NODES) await setDisk(node, { reservedBytes: capacityBytes - 16 * MIB });
    await create('fits', { replicas: 3, sizeBytes: 16 * MIB });
    const full = await refusal(create('more', { replicas: 3 }));
    expect(full.code).toBe('NO_CAPACITY');
    expect(full.details).toMatchObject({ obstacles: { 'no-room': 3 }, placed: 0 });
    await setDisk('n1', { overProvisioningPercent: 150 });
    expect(await disks()).toMatchObject([
      { allocatableBytes: 24 * MIB, availableBytes: 8 * MIB },
      { allocatableBytes: 16 * MIB, availableBytes: 0 },
      { allocatableBytes: 16 * MIB, availableBytes: 0 },
    ]);
    expect(nodesOf(await create('over'))).toEqual(['n1']);
  });

  it('grows all replicas of a volume or none', async () => {
    const [first] = await disks();
    const capacityBytes = first?.capacityBytes ?? 0;
    await create('v', { replicas: 3 });
    await setDisk('n3', { reservedBytes: capacityBytes - 12 * MIB });
    const error = await refusal(
      e2e.client.request('volume.expand', { volume: 'v', sizeBytes: 16 * MIB }),
    );
    expect(error.code).toBe('NO_CAPACITY');
    expect(error.message).toContain('n3/d1: 4 MiB free, 8 MiB more needed');
    expect(await promised()).toEqual([8 * MIB, 8 * MIB, 8 * MIB]);
    await setDisk('n3', { reservedBytes: 0 });
    await e2e.client.request('volume.expand', { volume: 'v', sizeBytes: 16 * MIB });
    expect(await promised()).toEqual([16 * MIB, 16 * MIB, 16 * MIB]);
  });

  it('takes the growth of the others back when one replica cannot follow', async () => {
    const { client } = e2e;
    const { replicas } = await create('v', { replicas: 3 });
    const clients = await Promise.all(NODES.map((node) => connectTarget(node)));
    const targets = clients.map((connected) => new Spdk(connected));
    const sizes = () =>
      Promise.all(
        targets.map(async ({ bdev }, at) => {
          const id = replicas.find(({ node }) => node === NODES[at])?.id ?? '';
          const all = await bdev.getBdevs();
          const found = all.filter(({ aliases }) => aliases.some((name) => name.endsWith(id)));
          return found.map(({ numBlocks, blockSizeBytes }) => (numBlocks * blockSizeBytes) / MIB);
        }),
      );
    expect(await sizes()).toEqual([[8], [8], [8]]);
    const [third] = targets.slice(2);
    const lost = replicas.find(({ node }) => node === 'n3')?.id ?? '';
    const lvols = (await third?.lvol.getLvols()) ?? [];
    await third?.lvol.delete(lvols.find(({ alias }) => alias.endsWith(lost))?.uuid ?? '');
    const error = await refusal(
      client.request('volume.expand', { volume: 'v', sizeBytes: 16 * MIB }),
    );
    expect(error.code).toBe('REPLICA_NOT_FOUND');
    expect(await sizes()).toEqual([[8], [8], []]);
    expect(await promised()).toEqual([8 * MIB, 8 * MIB, 8 * MIB]);
    expect(await client.request('volume.get', { volume: 'v' })).toMatchObject({
      sizeBytes: 8 * MIB,
      operation: null,
    });
    for (const connected of clients) connected.close();
  });

  it('never overbooks when many are made at once, and leaves nothing of those that did not fit', async () => {
    const made = await Promise.allSettled(
      Array.from({ length: 24 }, (_, index) =>
        create(`v${index}`, { replicas: 2, sizeBytes: 48 * MIB }),
      ),
    );
    const refused = made.flatMap((result) =>
      result.status === 'rejected' ? [toLariatError(result.reason).code] : [],
    );
    expect(new Set(refused)).toEqual(new Set(['NO_CAPACITY']));
    const { volumes } = await e2e.client.request('volume.list', {});
    const fulfilled = made.length - refused.length;
    expect(volumes).toHaveLength(fulfilled);
    const now = await disks();
    for (const disk of now) expect(disk.scheduledBytes).toBeLessThanOrEqual(disk.allocatableBytes);
    expect(now.reduce((sum, disk) => sum + disk.scheduledBytes, 0)).toBe(fulfilled * 2 * 48 * MIB);
    // Five fit on each of three disks: seven volumes and one place over.
    expect(fulfilled).toBe(7);
  }, 120_000);

  it('puts two replicas on one node only where that is allowed, and both hold every byte', async () => {
    const { client } = e2e;
    expect((await refusal(create('strict', { replicas: 4 }))).code).toBe('NOT_ENOUGH_NODES');
    const volume = await create('shared', { replicas: 4, placement: { node: 'soft' } });
    const nodes = nodesOf(volume);
    expect(new Set(nodes).size).toBe(3);
    const shared = nodes.find((node, index) => nodes[index + 1] === node) ?? '';
    for (const node of [shared, NODES.find((name) => name !== shared) ?? '']) {
      await client.request('volume.attach', { volume: 'shared', node, frontend: 'nbd' });
      const device = await e2e.open('shared');
      const data = randomBytes(2 * MIB);
      await device.write(MIB, data);
      expect((await device.read(MIB, data.length)).equals(data)).toBe(true);
      await device.close();
      await client.request('volume.detach', { volume: 'shared' });
      expect(await client.request('replica.checksum', { volume: 'shared' })).toMatchObject({
        identical: true,
        replicas: [{}, {}, {}, {}],
      });
    }
  });

  it('is told on the command line, a line a disk; and what is set there outlives the agent', async () => {
    const run = async (...words: readonly string[]) => {
      const main = programFile('apps', 'cli', 'dist', 'main.js');
      const args = [main, ...words, '--nats', e2e.cluster.natsUrl];
      try {
        const ran = await promisify(execFile)(process.execPath, args);
        return { ...ran, code: 0 };
      } catch (error) {
        return error as { stdout: string; stderr: string; code: number };
      }
    };
    const set = ['--tag', 'ssd', '--reserve', '200MiB', '--over-provisioning', '150'];
    expect((await run('disk', 'update', 'n1', 'd1', ...set)).stdout).toMatch(/tags: +ssd/);
    expect((await run('disk', 'cordon', 'n2', 'd1')).stdout).toContain('no: cordoned');
    expect((await run('node', 'update', 'n3', '--zone', 'b', '--tag', 'west')).stdout).toMatch(
      /zone: +b/,
    );
    const create = ['volume', 'create', 'x', '--size', '100MiB', '--replicas', '2'];
    const { code, stderr } = await run(...create, '--zone-anti-affinity', 'hard');
    expect(code).toBe(5);
    const lines = stderr.split('\n');
    expect(lines[0]).toMatch(/^error: There is room for 1 of 2 replica\(s\) of 100 MiB/);
    expect(lines.find((line) => line.startsWith('NODE'))).toMatch(/DISK +ZONE +FREE +TAKES/);
    expect(lines.find((line) => line.startsWith('n1 '))).toMatch(/free, 100 MiB needed$/);
    expect(lines.find((line) => line.startsWith('n2 '))).toMatch(/it is cordoned$/);

    await e2e.cluster.killNode('n1');
    await until('n1 to be missed', 20_000, async () =>
      (await e2e.client.request('node.get', { node: 'n1' })).state === 'ready' ? undefined : true,
    );
    await e2e.cluster.startNode('n1');
    await until('n1 to be back', 20_000, async () =>
      (await e2e.client.request('node.get', { node: 'n1' })).state === 'ready' ? true : undefined,
    );
    expect(await disks()).toMatchObject([
      { tags: ['ssd'], reservedBytes: 200 * MIB, overProvisioningPercent: 150 },
      { schedulable: false },
      {},
    ]);
    const cleared = await run(
      'disk',
      'update',
      'n1',
      'd1',
      '--no-tags',
      '--reserve',
      '0',
      '--json',
    );
    expect(JSON.parse(cleared.stdout)).toMatchObject({ tags: [], reservedBytes: 0 });
  });
});
