import { frontendHostNqn, replicaNqn, volumeNqn, type EngineLeg } from '@lariat/contracts';
import type { Clock } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { OwnedFrontend } from '../domain/ownership.js';
import { FakeKernel } from '../testing/fake-kernel.js';
import { FakeTarget } from '../testing/fake-target.js';
import {
  context,
  driftWatch,
  engineWatch,
  fixture,
  tempDir,
  type Fixture,
} from '../testing/fixture.js';

const VOLUME = 'vol-1';
const NQN = volumeNqn(VOLUME);
const GATE = { volume: VOLUME, epoch: 1, gate: 'op.1' };
const TIMEOUT_MS = 8_000;

/** A target with the methods of stock SPDK alone. */
function stockTarget(): FakeTarget {
  const target = new FakeTarget();
  target.methods.clear();
  return target;
}

class CutOff extends Error {}

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
let kernel: FakeKernel;
let nowMs: number;
/** Of each look at the clock a little: whoever waits for something that does not come gives up. */
let lookedMs = 0;
const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs + (lookedMs += 20) };

async function begin(): Promise<void> {
  dir = tempDir();
  nowMs = 1_000_000;
  const target = stockTarget();
  kernel = new FakeKernel(target);
  node = await fixture(dir.path, {}, { target, kernel, clock });
  for (const replica of ['rep-a', 'rep-b', 'rep-c'])
    target.reachable.set(replicaNqn(replica), `u-${replica}`);
  target.after = (method) => kernel.look(method);
}
async function end(): Promise<void> {
  await node.queue.idle();
  await node.journal.close();
  dir.remove();
}

const leg = (replica: string): EngineLeg => ({
  replica,
  endpoint: {
    ...{ nqn: replicaNqn(replica), traddr: '127.0.0.2', trsvcid: '4420' },
    uuid: `u-${replica}`,
  },
});

async function attach(
  replicas: readonly string[],
  frontend: 'kernel' | 'nvmf' = 'kernel',
): Promise<void> {
  const legs = replicas.map(leg);
  const input = { volume: VOLUME, uuid: 'raid-uuid', epoch: 1, sizeBytes: 8 << 20, legs };
  const qos = { rwIops: 100, rwMbps: null, readMbps: null, writeMbps: null };
  const { endpoint } = await node.handlers['engine.start']({ ...input, qos } as never, context);
  const record: OwnedFrontend = {
    ...{ kind: 'frontend', name: VOLUME, uuid: endpoint.uuid, owner: VOLUME, volume: VOLUME },
    ...{ operation: 'op', epoch: 1 },
    params: { frontend, endpoint, socketPath: null, process: null },
  };
  await node.journal.putOwned(record);
  if (frontend === 'kernel') await node.devices.ensure(VOLUME);
}

const close = () => node.handlers['engine.close-gate']({ ...GATE, timeoutMs: TIMEOUT_MS }, context);
const add = (replica = 'rep-c') =>
  node.handlers['engine.add-leg']({ ...GATE, leg: leg(replica) }, context);
const open = () => node.handlers['engine.open-gate'](GATE, context);
const bases = () => node.target.raids.get(VOLUME)?.bases;
const device = () => kernel.list()[0];
const namespace = () => node.target.subsystems.get(NQN)?.namespace;

/** What the agent does by itself, for as long as a gate may be closed and a little. */
async function timePasses(): Promise<void> {
  for (let round = 0; round < 12; round += 1) {
    await engineWatch(node, { clock }).poll();
    await node.queue.idle();
    await driftWatch(node).look();
    await node.queue.idle();
    for (const volume of node.devices.unsettled()) await node.devices.repair(volume);
    nowMs += 1_000;
  }
}
describe('a volume on a target with stock methods, behind its block device', () => {
  beforeEach(begin);
  afterEach(end);

  it('is held from the close of its gate to its opening, and keeps its device', async () => {
    await attach(['rep-a', 'rep-b']);
    const before = device();
    expect(before?.isSuspended).toBe(false);
    await close();
    expect(device()?.isSuspended).toBe(true);
    expect(node.devices.unsettled()).toEqual([]);
    expect(await open()).toEqual({ held: true });
    expect(device()).toEqual(before);
    expect(await open()).toEqual({ held: false });
    expect(kernel.errors).toEqual([]);
  });

  it.each([
    { what: 'a second', before: ['rep-a'] },
    { what: 'a third', before: ['rep-a', 'rep-b'] },
  ])('gets $what leg by a raid that is made anew: same volume, same device', async ({ before }) => {
    await attach(before);
    const seen = { device: device()?.device, namespace: namespace() };
    await close();
    await add();
    expect(bases()).toEqual([...before, 'rep-c'].map((replica) => `${replica}n1`));
    expect(device()?.isSuspended).toBe(true);
    expect(await open()).toEqual({ held: true });
    expect(node.target.raids.get(VOLUME)?.uuid).toBe('raid-uuid');
    expect(namespace()).toEqual(seen.namespace);
    expect(device()).toMatchObject({ device: seen.device, isSuspended: false });
    expect(node.target.limits.get(VOLUME)).toMatchObject({ rw_ios_per_sec: 100 });
    expect(node.target.subsystems.get(NQN)?.hosts).toContain(frontendHostNqn(VOLUME, 1));
    expect(kernel.errors).toEqual([]);
    await timePasses();
    expect(node.journal.owned('raid', VOLUME)?.params.legs).toHaveLength(before.length + 1);
  });

  it('takes no discards, over whatever path: what its target frees may read as anything', async () => {
    await attach(['rep-a', 'rep-b']);
    expect(kernel.withoutDiscards).toContain(device()?.over);
    await close();
    await add();
    await open();
    expect(kernel.withoutDiscards.size).toBe(2);
    expect(kernel.withoutDiscards).toContain(device()?.over);
  });

  it('goes on without the new leg where the raid can’t be made with it', async () => {
    await attach(['rep-a', 'rep-b']);
    await close();
    node.target.before = (method, params) => {
      const isWithIt = (params['base_bdevs'] as string[] | undefined)?.includes('rep-cn1') === true;
      if (method === 'bdev_raid_create' && isWithIt) throw new Error('not with that one');
    };
    await expect(add()).rejects.toThrow('not with that one');
    expect(bases()).toEqual(['rep-an1', 'rep-bn1']);
    expect(await open()).toEqual({ held: true });
    expect(device()?.isSuspended).toBe(false);
    expect(kernel.errors).toEqual([]);
  });

  it('takes no leg in while it is about to lose another: that one must not come back', async () => {
    await attach(['rep-a', 'rep-b']);
    await close();
    const raid = node.target.raids.get(VOLUME);
    if (raid === undefined) throw new Error('no raid');
    raid.bases = ['rep-an1', null];
    await expect(add()).rejects.toMatchObject({ code: 'LEG_UNREACHABLE' });
    expect(node.target.changes()).not.toContain('bdev_raid_delete');
    await open();
    expect(kernel.errors).toEqual([]);
  });

  it('is let go of when nobody opens the gate in time, and nothing joins behind it any more', async () => {
    await attach(['rep-a', 'rep-b']);
    await close();
    nowMs += TIMEOUT_MS;
    await expect(add()).rejects.toMatchObject({ code: 'GATE_EXPIRED' });
    expect(node.devices.unsettled()).toEqual([VOLUME]);
    await node.devices.repair(VOLUME);
    expect(device()?.isSuspended).toBe(false);
    expect(await open()).toEqual({ held: false });
    expect(bases()).toHaveLength(2);
  });

  it('says so when somebody has let the device go meanwhile', async () => {
    await attach(['rep-a', 'rep-b']);
    await close();
    await kernel.resume(kernel.list()[0]?.uuid ?? '');
    await expect(add()).rejects.toMatchObject({ code: 'GATE_EXPIRED' });
    expect(await open()).toEqual({ held: false });
  });

  it('is let go of when the agent is stopped', async () => {
    await attach(['rep-a', 'rep-b']);
    await close();
    // In use, so that it stays.
    await node.devices.pause().catch(() => undefined);
    expect(kernel.list().filter(({ isSuspended }) => isSuspended)).toEqual([]);
  });

  it.each(['nvmf', 'none'] as const)('has a reason under frontend %s', async (frontend) => {
    await attach(['rep-a', 'rep-b'], 'nvmf');
    if (frontend === 'none') await node.journal.dropOwned('frontend', VOLUME);
    await expect(close()).rejects.toMatchObject({
      code: 'GATE_MISSING',
      message: expect.stringContaining("attach it with frontend 'kernel'"),
    });
    expect(node.journal.owned('raid', VOLUME)?.params.gate).toBeNull();
  });
});

/** Everything that an agent changes in the target or the kernel from the close of the gate to its opening. */
async function countChanges(): Promise<number> {
  await begin();
  await attach(['rep-a', 'rep-b']);
  const plan = { changes: 0 };
  atEachChange(() => (plan.changes += 1));
  await close();
  await add();
  await open();
  await end();
  return plan.changes;
}
function atEachChange(act: () => void): void {
  const isChange = (method: string): boolean => !/_get_/.test(method);
  node.target.before = (method) => (isChange(method) ? act() : undefined);
  node.target.after = (method) => {
    kernel.look(method);
    if (isChange(method)) act();
  };
  kernel.around = act;
}

const CHANGES = await countChanges();

describe('an agent that is killed between the close of a gate and its opening', () => {
  beforeEach(begin);
  afterEach(end);

  it.each(Array.from({ length: CHANGES }, (_, at) => ({ at })))(
    'leaves a volume whose next agent has it whole, at moment $at',
    async ({ at }) => {
      await attach(['rep-a', 'rep-b']);
      const before = device()?.device;
      let moment = 0;
      atEachChange(() => {
        moment += 1;
        if (moment > at) throw new CutOff();
      });
      const life = async (): Promise<void> => {
        await close();
        await add();
        await open();
      };
      await life().catch(() => undefined);
      expect(moment).toBeGreaterThan(at);

      const { journal, target } = node;
      target.before = () => undefined;
      target.after = (method) => kernel.look(method);
      kernel.around = () => undefined;
      node = await fixture(dir.path, {}, { journal, target, kernel, clock });
      await timePasses();
      expect(kernel.errors).toEqual([]);
      expect(device()).toMatchObject({ device: before, isSuspended: false });
      expect(bases()).toEqual(expect.arrayContaining(['rep-an1', 'rep-bn1']));
      expect(namespace()?.bdev).toBe(VOLUME);
      // The next attempt of the join begins so.
      await node.handlers['engine.remove-leg']({ ...GATE, replica: 'rep-c' }, context);
      expect(bases()?.filter((base) => base !== null)).toEqual(['rep-an1', 'rep-bn1']);
      await close();
      await add();
      expect(await open()).toEqual({ held: true });
      expect(bases()).toContain('rep-cn1');
      expect(device()).toMatchObject({ device: before, isSuspended: false });
      expect(kernel.errors).toEqual([]);
    },
  );
});
