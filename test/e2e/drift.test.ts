import { randomBytes } from 'node:crypto';
import { findTargetSocket } from '@lariat/cli';
import { type AllocationRecord, BUCKETS, type VolumeView, volumeNqn } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import type { ReconcileKind } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { Kvm } from '@nats-io/kv';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { reconciledOf } from './reconciled.js';

const SIZE_BYTES = 8 * MIB;
type Replica = VolumeView['replicas'][number];
/** Any one thing that was changed by hand is found and put right in this time. */
const BOUND_MS = 20_000;

describe('what somebody has changed by hand', () => {
  let e2e: E2eCluster;
  const targets = new Map<string, SpdkClient>();
  beforeAll(async () => {
    e2e = await startE2e({ env: { ...process.env, LARIAT_REBUILD_GRACE_MS: '86400000' } });
    for (const node of ['n1', 'n2', 'n3']) {
      const socketPath = await findTargetSocket(e2e.cluster.paths.node(node));
      targets.set(node, await SpdkClient.connect({ socketPath: socketPath ?? '' }));
    }
  });
  afterAll(async () => {
    for (const client of targets.values()) client.close();
    await e2e.stop();
  });
  afterEach(async () => {
    const { volumes } = await e2e.client.request('volume.list', {});
    for (const { id, state } of volumes) {
      if (state === 'attached') await e2e.client.request('volume.detach', { volume: id });
      await e2e.client.request('volume.delete', { volume: id });
    }
    const left = await e2e.leftovers();
    if (left.length > 0) throw new Error(`left over: ${left.join('; ')}`);
  });

  const target = (node: string): Spdk => {
    const client = targets.get(node);
    if (client === undefined) throw new Error(`no node ${node}`);
    return new Spdk(client);
  };
  const view = (volume: string): Promise<VolumeView> =>
    e2e.client.request('volume.get', { volume });
  const replicaOn = ({ replicas }: VolumeView, wanted: (replica: Replica) => boolean) => {
    const found = replicas.find((replica) => wanted(replica));
    if (found === undefined) throw new Error('no such replica');
    return found;
  };
  /** A volume of three replicas, attached on n1, full of data. */
  async function attached(name: string): Promise<{ volume: VolumeView; data: Buffer }> {
    await e2e.client.request('volume.create', { name, sizeBytes: SIZE_BYTES, replicas: 3 });
    await e2e.client.request('volume.attach', { volume: name, node: 'n1', frontend: 'nbd' });
    const device = await e2e.open(name);
    const data = randomBytes(SIZE_BYTES);
    await device.writeAll(0, data);
    await device.close();
    return { volume: await view(name), data };
  }
  /** Whether the volume reads what was written, and its replicas hold the same; it is detached after that. */
  async function isSound(volume: string, data: Buffer): Promise<boolean> {
    const device = await e2e.open(volume);
    const read = await device.read(0, SIZE_BYTES);
    await device.close();
    await e2e.client.request('volume.detach', { volume });
    const { identical, replicas } = await e2e.client.request('replica.checksum', { volume });
    return read.equals(data) && identical && replicas.length === 3;
  }
  /** Waits until that kind of reconciler has put something right since; it says so itself. */
  async function putRight(kind: ReconcileKind, change: () => Promise<unknown>): Promise<void> {
    const before = await reconciledOf(e2e);
    await change();
    await until(`${kind} to be put right`, BOUND_MS, async () =>
      (await reconciledOf(e2e))[kind].repairs > before[kind].repairs ? true : undefined,
    );
  }
  const healthy = (volume: string): Promise<VolumeView> =>
    until(`${volume} to be healthy`, 60_000, async () => {
      const now = await view(volume);
      return now.robustness === 'healthy' && now.operation === null ? now : undefined;
    });

  it('an engine that is deleted is put back, with all that was acknowledged', async () => {
    const { volume, data } = await attached('engine');
    await putRight('engines', () => target('n1').raid.delete(volume.id));
    expect(await isSound('engine', data)).toBe(true);
  }, 120_000);

  it('a listener and a host of an export are set as recorded: who was let in is put out', async () => {
    const { volume, data } = await attached('listener');
    const { nvmf } = target('n1');
    const nqn = volumeNqn(volume.id);
    const seen = async () => (await nvmf.getSubsystems()).find((one) => one.nqn === nqn);
    const whole = await seen();
    const [address] = whole?.listenAddresses ?? [];
    if (address === undefined) throw new Error('the engine is exported');
    const { traddr, trsvcid = '' } = address;
    await putRight('exports', () => nvmf.removeListener(nqn, { traddr, trsvcid }));
    expect(await seen()).toEqual(whole);
    await putRight('exports', () => nvmf.addHost(nqn, 'nqn.2026-01.example:stranger'));
    await until('the stranger to be put out', BOUND_MS, async () =>
      (await seen())?.hosts.length === whole?.hosts.length ? true : undefined,
    );
    expect(await seen()).toEqual(whole);
    expect(await isSound('listener', data)).toBe(true);
  }, 120_000);

  it("an engine's limits are those of the volume again", async () => {
    const { volume, data } = await attached('limits');
    const { bdev } = target('n1');
    const limits = async () => (await bdev.getBdev(volume.id)).limits;
    for (const rwIops of [null, 20_000]) {
      if (rwIops !== null)
        await e2e.client.request('volume.update', { volume: 'limits', qos: { rwIops } });
      await putRight('limits', () => bdev.setQosLimit(volume.id, { writeMbytesPerSecond: 1 }));
      await until('the limits to be as asked', BOUND_MS, async () =>
        (await limits())?.writeMbytesPerSecond === 0 ? true : undefined,
      );
      expect(await limits()).toMatchObject({ readWriteIosPerSecond: rwIops ?? 0 });
    }
    expect(await isSound('limits', data)).toBe(true);
  }, 120_000);

  it('an NBD server that is killed is started again', async () => {
    const { data } = await attached('nbd');
    const server = e2e.cluster.processes().find(({ kind }) => kind === 'frontend');
    await putRight('frontends', () => e2e.cluster.kill(server?.name ?? ''));
    const device = await until('the server to be there', BOUND_MS, () =>
      e2e.open('nbd').catch(() => undefined),
    );
    await device.close();
    expect(await isSound('nbd', data)).toBe(true);
  }, 120_000);

  it('the head of a detached replica that is deleted is missed, and the replica rebuilt', async () => {
    const { data } = await attached('detached');
    await e2e.client.request('volume.detach', { volume: 'detached' });
    const lost = replicaOn(await view('detached'), ({ node }) => node === 'n2');
    await putRight('replicas', () => target('n2').lvol.delete(`${lost.disk}/${lost.id}`));
    const healed = await healthy('detached');
    expect(healed.replicas).toHaveLength(3);
    await e2e.client.request('volume.attach', { volume: 'detached', node: 'n1', frontend: 'nbd' });
    expect(await isSound('detached', data)).toBe(true);
  }, 180_000);

  it('the head of a replica in use that is deleted is missed, and the replica rebuilt', async () => {
    const { data, volume } = await attached('used');
    const lost = replicaOn(volume, ({ node }) => node === 'n3');
    const { lvol, nvmf } = target('n3');
    const head = `${lost.disk}/${lost.id}`;
    // The target itself protects what somebody has open.
    await expect(lvol.delete(head)).rejects.toThrow('EBUSY');
    const headUuid = async () =>
      (await lvol.getLvols({ lvsName: lost.disk })).find(({ name }) => name === lost.id)?.uuid;
    const before = await headUuid();
    await until('the head to be deleted', BOUND_MS, async () => {
      const exported = (await nvmf.getSubsystems()).find(({ nqn }) => nqn.includes(lost.id));
      if (exported !== undefined) await nvmf.deleteSubsystem(exported.nqn);
      try {
        await lvol.delete(head);
        return true;
      } catch (error) {
        // Between the two steps the agent may have put the export back.
        if (!String(error).includes('EBUSY')) throw error;
        return undefined;
      }
    });
    await until('a head of its own for the replica', 60_000, async () => {
      const now = await headUuid();
      return now !== undefined && now !== before ? true : undefined;
    });
    await healthy('used');
    expect(await isSound('used', data)).toBe(true);
  }, 180_000);

  it('the export of a replica in use that is deleted costs no data, and is there again', async () => {
    const { data, volume } = await attached('leg');
    const leg = replicaOn(volume, ({ node }) => node === 'n2');
    const { nvmf } = target('n2');
    const exported = (await nvmf.getSubsystems()).find(({ nqn }) => nqn.includes(leg.id));
    if (exported === undefined) throw new Error('the leg is exported');
    // Found by the watch of its own node, or, if that comes late, given up by its engine and resynced.
    const before = await reconciledOf(e2e);
    await nvmf.deleteSubsystem(exported.nqn);
    await until('the leg to be looked after', BOUND_MS, async () => {
      const { exports, engines } = await reconciledOf(e2e);
      const repairs = exports.repairs + engines.repairs;
      return repairs > before.exports.repairs + before.engines.repairs ? true : undefined;
    });
    await healthy('leg');
    expect(await isSound('leg', data)).toBe(true);
  }, 180_000);

  it('what no record names is left alone, whatever becomes of the volumes beside it', async () => {
    const { volume } = await attached('beside');
    const { disk } = replicaOn(volume, ({ node }) => node === 'n2');
    const { lvol, nvmf } = target('n2');
    const nqn = 'nqn.2026-01.example:foreign';
    const uuid = await lvol.create({ store: { lvsName: disk }, lvolName: 'foreign', sizeMib: 4 });
    await nvmf.createSubsystem({ nqn, allowAnyHost: true, serialNumber: 'FOREIGN' });
    await e2e.client.request('volume.detach', { volume: 'beside' });
    await e2e.client.request('volume.delete', { volume: 'beside' });
    const before = await reconciledOf(e2e);
    await until('all to be looked at again', BOUND_MS, async () =>
      (await reconciledOf(e2e)).nodes.looks > before.nodes.looks + 60 ? true : undefined,
    );
    expect((await lvol.getLvols({ lvsName: disk })).map((one) => one.uuid)).toEqual([uuid]);
    expect((await nvmf.getSubsystems()).map((one) => one.nqn)).toContain(nqn);
    await nvmf.deleteSubsystem(nqn);
    await lvol.delete(uuid);
  }, 120_000);

  it('a volume that is held by an operation of which nothing is on record is let go', async () => {
    const { volume, data } = await attached('claimed');
    const kv = await new Kvm(e2e.connection).open(BUCKETS.volumes);
    const entry = await kv.get(volume.id);
    if (entry === null) throw new Error('the volume is on record');
    const stored = entry.json<{ value: object }>();
    const value = { ...stored.value, operation: 'op-nobody000000' };
    await kv.update(volume.id, JSON.stringify({ ...stored, events: [], value }), entry.revision);
    const refused = e2e.client.request('volume.detach', { volume: volume.id });
    await expect(refused).rejects.toMatchObject({ code: 'OPERATION_IN_PROGRESS' });
    await until('the volume to be let go', 60_000, async () =>
      (await view('claimed')).operation === null ? true : undefined,
    );
    expect(await isSound('claimed', data)).toBe(true);
  }, 120_000);

  it('a promise that is lost is made again, and one to nobody ends', async () => {
    const { volume, data } = await attached('promised');
    const { id, disk } = replicaOn(volume, ({ node }) => node === 'n2');
    const kv = await new Kvm(e2e.connection).open(BUCKETS.allocations);
    const promised = async () => {
      const entry = await kv.get(disk);
      return { entry, stored: entry?.json<{ value: AllocationRecord }>() };
    };
    const { entry, stored } = await promised();
    if (entry === null || stored === undefined) throw new Error('the disk has promises');
    const value = { disk, node: 'n2', replicas: { nobody: MIB } };
    await kv.update(disk, JSON.stringify({ ...stored, value }), entry.revision);
    await until('the promises to be as the volumes have it', 60_000, async () => {
      const { replicas } = (await promised()).stored?.value ?? {};
      return replicas?.[id] === SIZE_BYTES && replicas['nobody'] === undefined ? true : undefined;
    });
    expect(await isSound('promised', data)).toBe(true);
  }, 120_000);
});
