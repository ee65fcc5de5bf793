import { findTargetSocket } from '@lariat/cli';
import { BUCKETS, type OrphanView, replicaNqn } from '@lariat/contracts';
import { MIB, newReplicaId } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const FOUND_MS = 30_000;
const GRACE_SECONDS = 10;

describe('what a node has without an owner', () => {
  let e2e: E2eCluster;
  let rpc: SpdkClient;
  let target: Spdk;
  let disk: string;
  /** Of the events on orphans, in order. */
  const told: { readonly id: string; readonly type: string }[] = [];

  beforeAll(async () => {
    const grace = { LARIAT_ORPHAN_GRACE_SECONDS: String(GRACE_SECONDS) };
    e2e = await startE2e({ nodes: 1, env: { ...process.env, ...grace } });
    e2e.connection.subscribe('lariat.v1.event.orphan.*.*', {
      callback: (_error, message) => {
        const { objectId, type } = message.json<{ objectId: string; type: string }>();
        told.push({ id: objectId, type });
      },
    });
    const socketPath = await findTargetSocket(e2e.cluster.paths.node('n1'));
    rpc = await SpdkClient.connect({ socketPath: socketPath ?? '' });
    target = new Spdk(rpc);
    disk = (await e2e.client.request('disk.list', {})).disks[0]?.id ?? '';
  });
  afterAll(async () => {
    rpc.close();
    await e2e.stop();
  });

  const list = async (): Promise<readonly OrphanView[]> =>
    (await e2e.client.request('orphan.list', {})).orphans;
  const newLvol = (lvolName: string): Promise<string> =>
    target.lvol.create({ store: { lvsName: disk }, lvolName, sizeMib: 4 });
  const found = (uuid: string): Promise<OrphanView> =>
    until('the orphan to be found', FOUND_MS, async () =>
      (await list()).find((orphan) => orphan.uuid === uuid),
    );
  const uuids = async (): Promise<readonly string[]> =>
    (await target.lvol.getLvols()).map(({ uuid }) => uuid);
  const typesOf = (id: string): readonly string[] =>
    told.filter((event) => event.id === id).map(({ type }) => type);

  it('is found once, and deleted by itself when its grace has passed', async () => {
    const uuid = await newLvol(newReplicaId());
    const orphan = await found(uuid);
    expect(orphan).toMatchObject({
      ...{ node: 'n1', kind: 'lvol', disk, sizeBytes: 4 * MIB, deletable: true, kept: null },
    });
    expect(Date.parse(orphan.deletesAt ?? '')).toBe(
      Date.parse(orphan.foundAt) + GRACE_SECONDS * 1_000,
    );
    expect(await uuids()).toContain(uuid);
    await until('the orphan to be deleted', 60_000, async () =>
      (await list()).some(({ id }) => id === orphan.id) ? undefined : true,
    );
    expect(await uuids()).not.toContain(uuid);
    await until('both events', 10_000, async () =>
      typesOf(orphan.id).length >= 2 ? true : undefined,
    );
    expect(typesOf(orphan.id)).toEqual(['found', 'deleted']);
  }, 120_000);

  it('is deleted on request, by its uuid, and not when a dry run is asked for', async () => {
    const name = newReplicaId();
    const uuid = await newLvol(name);
    const nqn = replicaNqn(name);
    await target.nvmf.createSubsystem({ nqn, serialNumber: 'LOST' });
    await target.nvmf.addNs(nqn, { bdevName: uuid, uuid });
    const orphan = await found(uuid);
    const exported = await until('the export to be found', FOUND_MS, async () =>
      (await list()).find(({ kind }) => kind === 'subsystem'),
    );
    const { client } = e2e;
    expect(await client.request('orphan.delete', { orphan: orphan.id, dryRun: true })).toEqual({
      ...{ dryRun: true, would: [expect.stringContaining(uuid), expect.any(String)] },
    });
    expect(await uuids()).toContain(uuid);
    // The export first: what is in use is not deleted.
    for (const { id } of [exported, orphan])
      expect(await client.request('orphan.delete', { orphan: id })).toMatchObject({
        outcome: 'deleted',
      });
    expect(await uuids()).not.toContain(uuid);
    const again = client.request('orphan.delete', { orphan: orphan.id });
    await expect(again).rejects.toMatchObject({ code: 'ORPHAN_NOT_FOUND' });
  }, 120_000);

  it('is not deleted when another has its name by then', async () => {
    const name = newReplicaId();
    const before = await found(await newLvol(name));
    await target.lvol.delete(before.uuid ?? '');
    const uuid = await newLvol(name);
    const outcome = e2e.client.request('orphan.delete', { orphan: before.id });
    // Its node may have told of the change before.
    const end = await outcome.then(
      (reply) => ('outcome' in reply ? reply.outcome : ''),
      (error: { code: string }) => error.code,
    );
    expect(['vanished', 'ORPHAN_NOT_FOUND']).toContain(end);
    expect(await uuids()).toContain(uuid);
    await target.lvol.delete(uuid);
  }, 120_000);

  it('that is foreign is neither listed nor touched; an lvol of an unknown name stays until it is asked for', async () => {
    const nqn = 'nqn.2026-01.example:foreign';
    await target.nvmf.createSubsystem({ nqn, allowAnyHost: true, serialNumber: 'FOREIGN' });
    const uuid = await newLvol('by-hand');
    const orphan = await found(uuid);
    expect(orphan).toMatchObject({ deletesAt: null, kept: expect.stringContaining('never') });
    expect((await list()).map(({ name }) => name)).not.toContain(nqn);
    await e2e.client.request('orphan.delete', { orphan: orphan.id });
    expect(await uuids()).not.toContain(uuid);
    expect((await target.nvmf.getSubsystems()).map((one) => one.nqn)).toContain(nqn);
  }, 120_000);

  it('is a replica whose volume nobody knows of, and stays until it is asked for, or the volume is back', async () => {
    const { client } = e2e;
    const kv = await new Kvm(e2e.connection).open(BUCKETS.volumes);
    const lose = async (name: string): Promise<OrphanView> => {
      const { id } = await client.request('volume.create', {
        ...{ name, sizeBytes: 4 * MIB, replicas: 1 },
      });
      await kv.purge(id);
      return until('its replica to be found', FOUND_MS, async () =>
        (await list()).find(({ volume }) => volume === id),
      );
    };
    const back = await lose('back');
    expect(back).toMatchObject({ kind: 'replica', deletesAt: null });
    await client.request('cluster.recover', {});
    await until('the orphan to be adopted', FOUND_MS, async () =>
      (await list()).length === 0 ? true : undefined,
    );
    await until('the event', 10_000, async () =>
      typesOf(back.id).includes('adopted') ? true : undefined,
    );
    const gone = await lose('gone');
    expect(await client.request('orphan.delete', { orphan: gone.id })).toMatchObject({
      outcome: 'deleted',
    });
    expect(await uuids()).not.toContain(gone.uuid);
    expect(await uuids()).toContain(back.uuid);
    await client.request('volume.delete', { volume: 'back' });
    expect(await list()).toEqual([]);
  }, 120_000);
});
