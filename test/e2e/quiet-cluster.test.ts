import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTargetSocket } from '@lariat/cli';
import { BUCKETS, type VolumeView, volumeNqn } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { agentLogs, lastSequences, lookedAgain, reconciledOf, repairsSince } from './reconciled.js';

const SIZE_BYTES = 8 * MIB;
/** The fewest that one kind looks at in a round: replicas, once in 10 s; engines, more often. */
const OBJECTS = { slow: 10, fast: 2 };

describe('a cluster in which nothing is wrong', () => {
  let e2e: E2eCluster;
  let attached: VolumeView;
  beforeAll(async () => {
    e2e = await startE2e({ env: { ...process.env, LARIAT_REBUILD_GRACE_MS: '86400000' } });
    await makeVolumes();
  }, 180_000);
  afterAll(async () => {
    await e2e.stop();
  });

  /** With as many copies as it should have: one comes from the file, the reconciler fetches the other. */
  async function makeImage(): Promise<void> {
    const path = join(e2e.cluster.paths.dataDir, 'quiet.img');
    writeFileSync(path, randomBytes(SIZE_BYTES));
    await e2e.client.request('image.create', { name: 'quiet', source: { file: { path } } });
    await until('the image to have two copies', 60_000, async () => {
      const { copies } = await e2e.client.request('image.get', { image: 'quiet' });
      const ready = copies.filter(({ state }) => state === 'ready');
      return ready.length === 2 ? true : undefined;
    });
  }

  /** Volumes of every kind that is at rest: attached, detached, healed by itself, with snapshots, cloned. */
  async function makeVolumes(): Promise<void> {
    const { client, cluster } = e2e;
    await makeImage();
    for (const name of ['attached', 'healed']) {
      await client.request('volume.create', { name, sizeBytes: SIZE_BYTES, replicas: 3 });
      await client.request('volume.attach', { volume: name, node: 'n1', frontend: 'nbd' });
      const device = await e2e.open(name);
      await device.writeAll(0, randomBytes(SIZE_BYTES));
      await client.request('snapshot.create', { volume: name, snapshot: 'first' });
      await device.write(MIB, randomBytes(MIB));
      await device.close();
    }
    await client.request('volume.create', { name: 'detached', sizeBytes: SIZE_BYTES, replicas: 2 });
    await client.request('snapshot.create', { volume: 'detached', snapshot: 'kept' });
    await client.request('volume.create', {
      name: 'clone',
      replicas: 2,
      source: { volume: 'detached', snapshot: 'kept' },
    });
    await client.request('volume.update', { volume: 'attached', qos: { rwIops: 50_000 } });
    await cluster.killNode('n3');
    await robustness('healed', 'degraded');
    await cluster.startNode('n3');
    for (const name of ['attached', 'healed', 'detached', 'clone']) {
      await robustness(name, 'healthy');
    }
    await until('the last operation to have ended', 60_000, async () => {
      const { operations } = await client.request('operation.list', {});
      return operations.every(({ state }) => state === 'succeeded') ? true : undefined;
    });
    await until('the leases of what was promised to have done their work', 60_000, async () => {
      const kv = await new Kvm(e2e.connection).open(BUCKETS.allocations);
      for await (const key of await kv.keys()) {
        const text = (await kv.get(key))?.string() ?? '';
        if (!/"leases":\{\}/.test(text)) return undefined;
      }
      return true;
    });
    attached = await client.request('volume.get', { volume: 'attached' });
  }

  const robustness = (volume: string, wanted: VolumeView['robustness']): Promise<true> =>
    until(`${volume} to be ${wanted}`, 60_000, async () =>
      (await e2e.client.request('volume.get', { volume })).robustness === wanted ? true : undefined,
    );

  /** Everything that a reconciler could do leaves a trace in one of these. */
  const traces = async () => ({ streams: await lastSequences(e2e), logs: agentLogs(e2e) });

  async function staysQuiet(): Promise<void> {
    const [counts, before] = [await reconciledOf(e2e), await traces()];
    const now = await lookedAgain(e2e, OBJECTS);
    expect(repairsSince(counts, now)).toEqual({});
    expect(await traces()).toEqual(before);
  }

  it('is left alone: each reconciler looks again and again, and none writes, tells or commands', async () => {
    const { streams, logs } = await traces();
    expect(streams).toMatchObject({
      LARIAT_COMMANDS: expect.any(Number),
      LARIAT_EVENTS: expect.any(Number),
      [`KV_${BUCKETS.volumes}`]: expect.any(Number),
    });
    expect(logs).toContain('leg lost');
    await staysQuiet();
  }, 120_000);

  it('has one thing put right when one thing is wrong, and is left alone again', async () => {
    const [counts, before] = [await reconciledOf(e2e), await traces()];
    const socketPath = await findTargetSocket(e2e.cluster.paths.node('n1'));
    const client = await SpdkClient.connect({ socketPath: socketPath ?? '' });
    const { nvmf } = new Spdk(client);
    const exportOf = async () =>
      (await nvmf.getSubsystems()).find(({ nqn }) => nqn === volumeNqn(attached.id));
    const whole = await exportOf();
    expect(whole?.listenAddresses).toHaveLength(1);
    const device = await e2e.open('attached');
    const data = randomBytes(MIB);
    await device.write(0, data);
    await nvmf.deleteSubsystem(volumeNqn(attached.id));
    await until('the export to be put back', 15_000, async () =>
      (await reconciledOf(e2e)).exports.repairs > counts.exports.repairs ? true : undefined,
    );
    // The host, which found nobody there, connects again; what it wrote is there.
    expect((await device.read(0, MIB)).equals(data)).toBe(true);
    await device.write(2 * MIB, data);
    await device.close();
    await staysQuiet();
    expect(repairsSince(counts, await reconciledOf(e2e))).toEqual({ exports: 1 });
    expect(await exportOf()).toEqual(whole);
    client.close();
    const { streams, logs } = await traces();
    expect(streams).toEqual(before.streams);
    expect(logs.length).toBeGreaterThan(before.logs.length);
  }, 240_000);
});
