import 'reflect-metadata';
import {
  frontendHostNqn,
  lariatError,
  replicaNqn,
  volumeNqn,
  type EngineLeg,
  type VolumeRecord,
} from '@lariat/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectionLost } from '../testing/fake-target.js';
import {
  context,
  engineWatch,
  fixture,
  tempDir,
  type EngineWatchSetting,
  type Fixture,
  newContext,
} from '../testing/fixture.js';
import type { EngineWatch } from './engine-watch.js';

const MIB = 1024 * 1024;
let dir: ReturnType<typeof tempDir>;
let node: Fixture;

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
});
afterEach(async () => {
  await node.queue.idle();
  await node.journal.close();
  dir.remove();
});

function remoteLeg(replica: string): EngineLeg {
  const nqn = replicaNqn(replica);
  return { replica, endpoint: { nqn, traddr: '127.0.0.2', trsvcid: '4420', uuid: `u-${replica}` } };
}
function reachable(...replicas: readonly string[]): void {
  for (const replica of replicas) node.target.reachable.set(replicaNqn(replica), `u-${replica}`);
}
async function localLeg(replica: string): Promise<EngineLeg> {
  const input = { replica, volume: 'vol-1', disk: 'disk-1', sizeBytes: 8 * MIB };
  await node.handlers['replica.create'](input, context);
  return { replica, endpoint: null };
}
const start = (legs: readonly EngineLeg[], epoch = 1) =>
  node.handlers['engine.start'](
    { volume: 'vol-1', uuid: 'raid-uuid', epoch, sizeBytes: 8 * MIB, legs },
    context,
  );
const basesOf = () => node.target.raids.get('vol-1')?.bases;

test('starts with the legs that answer and names the others', async () => {
  reachable('rep-b');
  const started = await start([await localLeg('rep-a'), remoteLeg('rep-b'), remoteLeg('rep-c')]);
  expect(started.operational).toEqual(['rep-a', 'rep-b']);
  expect(started.lost.map(({ replica }) => replica)).toEqual(['rep-c']);
  expect(node.target.subsystems.get(volumeNqn('vol-1'))?.namespace?.uuid).toBe('raid-uuid');
  expect(node.journal.owned('controller', 'rep-c')).toBeUndefined();
});

test('no host is let in before the raid holds what a lost leg would miss', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const changes = node.target.changes();
  expect(changes.indexOf('bdev_raid_create')).toBeLessThan(
    changes.indexOf('lariat_raid_hold_losses'),
  );
  expect(changes.indexOf('lariat_raid_hold_losses')).toBeLessThan(
    changes.lastIndexOf('nvmf_create_subsystem'),
  );
});

test('a repeated start answers the same and makes nothing anew', async () => {
  reachable('rep-b');
  const legs = [await localLeg('rep-a'), remoteLeg('rep-b')];
  const first = await start(legs);
  node.target.calls.length = 0;
  expect(await start(legs)).toEqual(first);
  // The first start may have died before it: told twice it is the same.
  expect(node.target.changes()).toEqual(['lariat_raid_hold_losses']);
});

test('without any leg it fails and leaves nothing', async () => {
  await expect(start([remoteLeg('rep-b'), remoteLeg('rep-c')])).rejects.toMatchObject({
    code: 'LEG_UNREACHABLE',
  });
  expect(node.target.raids.size + node.target.controllers.size).toBe(0);
  expect(node.journal.ownedBy('vol-1')).toEqual([]);
});

test("its own target's silence is not taken for a lost leg", async () => {
  reachable('rep-b');
  const legs = [await localLeg('rep-a'), remoteLeg('rep-b')];
  node.target.before = (method) => {
    if (method === 'bdev_nvme_attach_controller') throw connectionLost();
  };
  await expect(start(legs)).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
  node.target.before = () => undefined;
  expect((await start(legs)).lost).toEqual([]);
});

test('a new epoch takes the place of the old engine', async () => {
  reachable('rep-b');
  const legs = [await localLeg('rep-a'), remoteLeg('rep-b')];
  await start(legs, 1);
  await start(legs, 2);
  expect(node.target.controllers.get('rep-b')?.hostnqn).toContain(':vol-1:2');
  expect(node.journal.owned('raid', 'vol-1')?.epoch).toBe(2);
});

test('stop removes what the engine made, and no replica', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  await node.handlers['engine.stop']({ volume: 'vol-1', epoch: 1 }, context);
  expect(node.journal.ownedBy('vol-1')).toEqual([]);
  expect(node.target.raids.size + node.target.controllers.size + node.target.subsystems.size).toBe(
    0,
  );
  expect(node.target.lvols.size).toBe(1);
});

test('the last leg is not removed', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const without = (replica: string) =>
    node.handlers['engine.remove-leg']({ volume: 'vol-1', epoch: 1, replica }, context);
  await without('rep-b');
  expect(await without('rep-b')).toEqual({});
  await expect(without('rep-a')).rejects.toMatchObject({ code: 'LAST_REPLICA' });
  expect(node.target.controllers.size).toBe(0);
});

test('a leg joins only while its gate is closed', async () => {
  reachable('rep-b', 'rep-c');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const add = (gate: string) =>
    node.handlers['engine.add-leg'](
      { volume: 'vol-1', epoch: 1, gate, leg: remoteLeg('rep-c') },
      context,
    );
  await expect(add('g1')).rejects.toMatchObject({ code: 'GATE_EXPIRED' });
  const gate = { volume: 'vol-1', epoch: 1, gate: 'g1' };
  await node.handlers['engine.close-gate']({ ...gate, timeoutMs: 60_000 }, context);
  await expect(add('g0')).rejects.toMatchObject({ code: 'GATE_EXPIRED' });
  await add('g1');
  await add('g1');
  expect(basesOf()).toHaveLength(3);
  expect(await node.handlers['engine.open-gate'](gate, context)).toEqual({ held: true });
  expect(await node.handlers['engine.open-gate'](gate, context)).toEqual({ held: false });
});

test('no leg joins behind the gate of a raid that was made anew since', async () => {
  reachable('rep-b', 'rep-c');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const gate = { volume: 'vol-1', epoch: 1, gate: 'g1' };
  await node.handlers['engine.close-gate']({ ...gate, timeoutMs: 60_000 }, context);
  node.target.raids.clear();
  node.target.controllers.clear();
  await watcher(() => Promise.resolve()).poll();
  await node.queue.idle();
  expect(node.journal.owned('raid', 'vol-1')?.params.gate).toBeNull();
  const add = () => node.handlers['engine.add-leg']({ ...gate, leg: remoteLeg('rep-c') }, context);
  await expect(add()).rejects.toMatchObject({ code: 'GATE_EXPIRED' });
  expect(basesOf()).toHaveLength(2);
});

test('no leg joins when the target has opened its gate, whatever the record says', async () => {
  reachable('rep-b', 'rep-c');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const gate = { volume: 'vol-1', epoch: 1, gate: 'g1' };
  await node.handlers['engine.close-gate']({ ...gate, timeoutMs: 60_000 }, context);
  await node.target.spdk().bdev.unquiesce('vol-1', 'g1');
  const add = () => node.handlers['engine.add-leg']({ ...gate, leg: remoteLeg('rep-c') }, context);
  await expect(add()).rejects.toMatchObject({ code: 'GATE_EXPIRED' });
  expect(basesOf()).toHaveLength(2);
});

test('a gate whose closing was not answered is opened before the next try closes its own', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const close = (gate: string) =>
    node.handlers['engine.close-gate'](
      { volume: 'vol-1', epoch: 1, gate, timeoutMs: 60_000 },
      context,
    );
  node.target.after = (method) => {
    if (method === 'lariat_bdev_quiesce') throw connectionLost();
  };
  await expect(close('op.1')).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
  node.target.after = () => undefined;
  node.target.calls.length = 0;
  await close('op.2');
  await close('op.2');
  const gates = node.target.calls.map(({ method, params }) => [method, params['gate_id']]);
  expect(gates).toEqual([
    ['lariat_bdev_unquiesce', 'op.1'],
    ['lariat_bdev_quiesce', 'op.2'],
    ['lariat_bdev_quiesce', 'op.2'],
  ]);
});

test('a replica in use by the engine is neither exported nor deleted', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const replica = { replica: 'rep-a', volume: 'vol-1' };
  await expect(
    node.handlers['replica.export']({ ...replica, epoch: 1, hostNqns: [] }, context),
  ).rejects.toMatchObject({ code: 'VOLUME_BUSY' });
  await expect(node.handlers['replica.delete'](replica, context)).rejects.toMatchObject({
    code: 'VOLUME_BUSY',
  });
});

const stopped: string[] = [];
const stopFrontend = async (volume: string): Promise<void> => {
  stopped.push(volume);
};

const watcher = (
  report: () => Promise<void>,
  hasServedSince: EngineWatchSetting['hasServedSince'] = () => true,
): EngineWatch => engineWatch(node, { report, hasServedSince, stopFrontend });

const legStates = () =>
  node.journal.owned('raid', 'vol-1')?.params.legs.map(({ replica, state }) => [replica, state]);

test('a leg that the raid lost stays on record until its loss is accepted', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const raid = node.target.raids.get('vol-1');
  if (raid === undefined) throw new Error('no raid');
  raid.bases = raid.bases.map((base) => (base === 'rep-bn1' ? null : base));
  let accept = (): void => undefined;
  const accepted = new Promise<void>((resolve) => (accept = resolve));
  const watch = watcher(() => accepted);
  await watch.poll();
  await node.queue.idle();
  expect(legStates()).toEqual([
    ['rep-a', 'member'],
    ['rep-b', 'lost'],
  ]);
  const confirmed = () =>
    node.target.calls.find(({ method }) => method === 'lariat_raid_confirm_losses')?.params;
  expect(confirmed()).toBeUndefined();
  accept();
  await expect.poll(legStates).toEqual([['rep-a', 'member']]);
  expect(confirmed()).toEqual({ name: 'vol-1', base_bdevs: ['rep-bn1'] });
  expect(node.target.controllers.size).toBe(0);
});

test('a loss that is refused is never confirmed to the target, which holds the writes', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const raid = node.target.raids.get('vol-1');
  if (raid === undefined) throw new Error('no raid');
  raid.bases = raid.bases.map((base) => (base === 'rep-bn1' ? null : base));
  let reports = 0;
  const watch = watcher(() => {
    reports += 1;
    return Promise.reject(lariatError('LAST_REPLICA', 'rep-a is being rebuilt'));
  });
  await watch.poll();
  await expect.poll(() => reports).toBeGreaterThan(0);
  await node.queue.idle();
  const called = node.target.calls.map(({ method }) => method);
  expect(called).not.toContain('lariat_raid_confirm_losses');
  expect(legStates()).toEqual([
    ['rep-a', 'member'],
    ['rep-b', 'lost'],
  ]);
  // Nor is it put back without the lost one when its target was restarted.
  node.target.raids.clear();
  await watch.poll();
  await node.queue.idle();
  expect(reports).toBeGreaterThan(1);
  expect(node.target.raids.size).toBe(0);
});

test('a replica that comes back with a new head is not taken for the one that was lost', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const raid = node.target.raids.get('vol-1');
  if (raid === undefined) throw new Error('no raid');
  raid.bases = raid.bases.map((base) => (base === 'rep-bn1' ? null : base));
  let accept = (): void => undefined;
  const accepted = new Promise<void>((resolve) => (accept = resolve));
  await watcher(() => accepted).poll();
  await node.queue.idle();
  const nqn = replicaNqn('rep-b');
  node.target.reachable.set(nqn, 'u-new');
  const endpoint = { nqn, traddr: '127.0.0.2', trsvcid: '4420', uuid: 'u-new' };
  const gate = { volume: 'vol-1', epoch: 1, gate: 'g1' };
  await node.handlers['engine.close-gate']({ ...gate, timeoutMs: 60_000 }, context);
  const leg = { replica: 'rep-b', endpoint };
  await node.handlers['engine.add-leg']({ ...gate, leg }, context);
  expect(node.target.controllers.get('rep-b')?.uuid).toBe('u-new');
  const bases = basesOf();
  expect(bases?.at(-1)).toBe('rep-bn1');
  // The answer to the report of the old loss, when the new leg is in.
  accept();
  await accepted;
  await expect.poll(() => node.queue.idle().then(() => legStates())).toHaveLength(2);
  expect(legStates()).toEqual([
    ['rep-a', 'member'],
    ['rep-b', 'member'],
  ]);
  expect(basesOf()).toEqual(bases);
  expect(node.target.controllers.get('rep-b')?.uuid).toBe('u-new');
});

test('an engine whose volume was taken away is stopped, and its held writes with it', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const raid = node.target.raids.get('vol-1');
  if (raid === undefined) throw new Error('no raid');
  raid.bases = raid.bases.map((base) => (base === 'rep-bn1' ? null : base));
  stopped.length = 0;
  await watcher(() => Promise.reject(lariatError('EPOCH_STALE', 'taken by n2'))).poll();
  await expect.poll(() => node.target.raids.size).toBe(0);
  await node.queue.idle();
  expect(stopped).toEqual(['vol-1']);
  expect(node.journal.owned('raid', 'vol-1')).toBeUndefined();
  expect(node.target.calls.map(({ method }) => method)).not.toContain('lariat_raid_confirm_losses');
});

test('an engine that ends tells which replicas had every write, a second time as well', async () => {
  reachable('rep-b', 'rep-c');
  await start([await localLeg('rep-a'), remoteLeg('rep-b'), remoteLeg('rep-c')]);
  const raid = node.target.raids.get('vol-1');
  if (raid === undefined) throw new Error('no raid');
  raid.bases = raid.bases.map((base) => (base === 'rep-bn1' ? null : base));
  const command = newContext();
  const stop = () => node.handlers['engine.stop']({ volume: 'vol-1', epoch: 1 }, command);
  node.target.before = (method) => {
    if (method === 'bdev_nvme_detach_controller') throw connectionLost();
  };
  await expect(stop()).rejects.toMatchObject({ code: 'SPDK_CONNECTION_LOST' });
  expect(node.target.raids.size).toBe(0);
  node.target.before = () => undefined;
  expect(await stop()).toEqual({ inStep: ['rep-a', 'rep-c'] });
  expect(node.journal.owned('raid', 'vol-1')).toBeUndefined();
});

test('nobody can tell of an engine that was not running when it was ended', async () => {
  await start([await localLeg('rep-a')]);
  node.target.raids.clear();
  const stop = () => node.handlers['engine.stop']({ volume: 'vol-1', epoch: 1 }, newContext());
  expect(await stop()).toEqual({ inStep: null });
  expect(await stop()).toEqual({ inStep: null });
});

test('a poll that fails changes nothing', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const before = legStates();
  node.target.before = () => {
    throw connectionLost();
  };
  await watcher(() => Promise.resolve()).poll();
  await node.queue.idle();
  expect(legStates()).toEqual(before);
});

test('an engine that its target has forgotten is put back with the same members', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  const bases = basesOf();
  node.target.raids.clear();
  node.target.controllers.clear();
  node.target.subsystems.clear();
  await watcher(() => Promise.resolve()).poll();
  await node.queue.idle();
  expect(basesOf()).toEqual(bases);
  expect(node.target.raids.get('vol-1')?.uuid).toBe('raid-uuid');
  expect([...(node.target.subsystems.get(volumeNqn('vol-1'))?.hosts ?? [])]).toEqual([
    frontendHostNqn('vol-1', 1),
  ]);
});

test('an engine whose writes died with their server is put back on one leg, once that is on record', async () => {
  reachable('rep-b', 'rep-c');
  await start([remoteLeg('rep-b'), await localLeg('rep-a'), remoteLeg('rep-c')]);
  node.target.raids.clear();
  node.target.controllers.clear();
  const reports: boolean[] = [];
  let accepts = false;
  const watch = watcher(
    () => {
      reports.push(node.target.raids.size > 0);
      return accepts
        ? Promise.resolve()
        : Promise.reject(lariatError('SERVICE_UNAVAILABLE', 'later'));
    },
    () => false,
  );
  for (let poll = 0; poll < 3; poll += 1) {
    await watch.poll();
    await node.queue.idle();
    expect(node.target.raids.size).toBe(0);
  }
  accepts = true;
  await expect
    .poll(async () => {
      await watch.poll();
      await node.queue.idle();
      return basesOf()?.length;
    })
    .toBe(1);
  expect(legStates()).toEqual([['rep-a', 'member']]);
  expect(reports.slice(0, 3)).toEqual([false, false, false]);
});

test('it goes on with a leg that counts, not with the one beside it that is being rebuilt', async () => {
  reachable('rep-b', 'rep-c');
  await start([remoteLeg('rep-c'), await localLeg('rep-a'), remoteLeg('rep-b')]);
  const modes = { 'rep-a': 'WO', 'rep-b': 'RW', 'rep-c': 'ERR' };
  const replicas = Object.entries(modes).map(([id, mode]) => ({ id, mode }));
  const record = { id: 'vol-1', revision: 1, replicas } as unknown as VolumeRecord;
  await node.handlers['record.keep']({ kind: 'volume', record }, context);
  node.target.raids.clear();
  node.target.controllers.clear();
  const watch = watcher(
    () => Promise.resolve(),
    () => false,
  );
  await watch.poll();
  await node.queue.idle();
  expect(legStates()).toEqual([['rep-b', 'member']]);
  expect(basesOf()).toHaveLength(1);
});

test('a member that does not answer at once is waited for', async () => {
  reachable('rep-b');
  await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
  node.target.raids.clear();
  node.target.controllers.clear();
  node.target.reachable.clear();
  const watch = watcher(() => Promise.resolve());
  await watch.poll();
  await node.queue.idle();
  expect(node.target.raids.size).toBe(0);
  reachable('rep-b');
  await watch.poll();
  await node.queue.idle();
  expect(basesOf()).toHaveLength(2);
});

describe('growing under an engine', () => {
  const grow = (sizeBytes: number) =>
    node.handlers['engine.resize']({ volume: 'vol-1', epoch: 1, sizeBytes }, context);
  const growLocal = (sizeBytes: number) =>
    node.handlers['replica.resize']({ replica: 'rep-a', volume: 'vol-1', sizeBytes }, context);

  test('is done when the smallest leg shows the new size', async () => {
    reachable('rep-b');
    await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
    await growLocal(16 * MIB);
    const growing = grow(16 * MIB);
    setTimeout(() => (node.target.remoteSizeMib = 16), 50);
    expect(await growing).toEqual({ sizeBytes: 16 * MIB });
    expect(node.journal.owned('raid', 'vol-1')?.params.sizeBytes).toBe(16 * MIB);
    expect(await grow(16 * MIB)).toEqual({ sizeBytes: 16 * MIB });
  });

  test('names the leg that it still waits for', async () => {
    reachable('rep-b');
    await start([await localLeg('rep-a'), remoteLeg('rep-b')]);
    await growLocal(16 * MIB);
    const waiting = grow(16 * MIB);
    await expect(waiting).rejects.toMatchObject({ code: 'TARGET_UNAVAILABLE' });
    await expect(waiting).rejects.toThrow(/rep-b shows 8388608 bytes/);
    await expect(waiting).rejects.not.toThrow(/rep-a/);
  });

  test('is refused for an engine of another epoch', async () => {
    await start([await localLeg('rep-a')], 2);
    await expect(grow(16 * MIB)).rejects.toMatchObject({ code: 'VOLUME_NOT_ATTACHED' });
  });
});

describe('limits', () => {
  const qos = { rwIops: 2000, rwMbps: null, readMbps: null, writeMbps: 5 };
  const shown = {
    name: 'vol-1',
    rw_ios_per_sec: 2000,
    rw_mbytes_per_sec: 0,
    r_mbytes_per_sec: 0,
    w_mbytes_per_sec: 5,
  };
  const limitCalls = () =>
    node.target.calls.filter(({ method }) => method === 'bdev_set_qos_limit').map((c) => c.params);
  const setQos = (epoch = 1) =>
    node.handlers['engine.set-qos']({ volume: 'vol-1', epoch, qos }, context);

  test('are there before a host is let in', async () => {
    await node.handlers['engine.start'](
      {
        volume: 'vol-1',
        uuid: 'raid-uuid',
        epoch: 1,
        sizeBytes: 8 * MIB,
        legs: [await localLeg('rep-a')],
        qos,
      },
      context,
    );
    expect(limitCalls()).toEqual([shown]);
    const changes = node.target.changes();
    expect(changes.indexOf('bdev_set_qos_limit')).toBeLessThan(
      changes.indexOf('nvmf_create_subsystem'),
    );
  });

  test('are set on a running engine, and again on one that is put back', async () => {
    await start([await localLeg('rep-a')]);
    expect(limitCalls()).toEqual([]);
    await setQos();
    expect(limitCalls()).toEqual([shown]);
    // While its target restarts there is no raid to limit; what puts it back does so.
    node.target.raids.clear();
    await setQos();
    expect(limitCalls()).toHaveLength(2);
    const record = node.journal.owned('raid', 'vol-1');
    if (record === undefined) throw new Error('the engine has no record');
    await node.engines.assemble(record, record.params.legs);
    expect(limitCalls()).toEqual([shown, shown, shown]);
    expect(node.target.limits.get('vol-1')).toMatchObject({ w_mbytes_per_sec: 5 });
  });

  test('are refused for an engine of another epoch', async () => {
    await start([await localLeg('rep-a')], 2);
    await expect(setQos(1)).rejects.toMatchObject({ code: 'VOLUME_NOT_ATTACHED' });
  });
});
