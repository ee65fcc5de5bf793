import 'reflect-metadata';
import { nodeHostNqn, scratchNqn } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { OwnedController, OwnedSubsystem } from '../domain/ownership.js';
import { connectionLost } from '../testing/fake-target.js';
import { type Fixture, fixture, newContext, silentLog, tempDir } from '../testing/fixture.js';
import { Disks } from './disks.js';
import { Restore } from './restore.js';

const LISTEN = { traddr: '127.0.0.1', trsvcid: '4420' };
const OF = { volume: null, operation: 'op-0', epoch: null } as const;

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
let restore: Restore;
/** Calls that the target takes and does not answer until it is told to fail them. */
let isStuck: (method: string) => boolean;
let stuck: ((reason: Error) => void)[];

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
  const { journal, target, lvols, exports, controllers, queue } = node;
  isStuck = () => false;
  stuck = [];
  const call = target.call.bind(target);
  vi.spyOn(target, 'call').mockImplementation((method, params = {}) =>
    isStuck(method) ? new Promise((_, reject) => stuck.push(reject)) : call(method, params),
  );
  restore = new Restore({
    ...{ node: 'n1', journal, target, lvols, exports, controllers, queue, log: silentLog },
    listen: LISTEN,
    lost: () => undefined,
    disks: { load: () => Promise.resolve() } as unknown as Disks,
  });
});

afterEach(async () => {
  vi.useRealTimers();
  await node.queue.idle();
  await node.journal.close();
  dir.remove();
});

const exportOf = (at: number): OwnedSubsystem => ({
  ...OF,
  ...{ kind: 'subsystem', name: `nqn.leg-${at}`, owner: `rep-${at}`, uuid: `uuid-${at}` },
  params: { role: 'replica', bdevName: `uuid-${at}`, hosts: ['nqn.host'] },
});

const sourceOf = (at: number): OwnedController => ({
  ...OF,
  ...{ kind: 'controller', name: `rep-${at}.source`, owner: `rep-${at}`, uuid: `far-${at}` },
  params: {
    role: 'source',
    replica: `rep-${at}`,
    endpoint: { nqn: `nqn.far-${at}`, traddr: '192.0.2.1', trsvcid: '4420', uuid: `far-${at}` },
    hostNqn: nodeHostNqn('n1'),
    copy: null,
  },
});

const isExported = (at: number): boolean => {
  const seen = node.target.subsystems.get(`nqn.leg-${at}`);
  return seen?.listens === true && seen.hosts.has('nqn.host') && seen.namespace !== undefined;
};

const asked = (method: string): number =>
  node.target.calls.filter((call) => call.method === method).length;

test('many exports are put back with one look at what the target has', async () => {
  for (let at = 0; at < 100; at += 1) await node.journal.putOwned(exportOf(at));
  await restore.all();
  expect(Array.from({ length: 100 }, (_, at) => isExported(at))).not.toContain(false);
  expect(restore.isIncomplete).toBe(false);
  // Once for the port, once for them all.
  expect(asked('nvmf_get_subsystems')).toBe(2);
  node.target.calls.length = 0;
  await restore.all();
  expect(node.target.changes().filter((method) => method.startsWith('nvmf'))).toEqual([]);
});

test('five records that are stuck delay neither the others nor each other, and are tried again', async () => {
  for (let at = 0; at < 20; at += 1) await node.journal.putOwned(exportOf(at));
  for (let at = 0; at < 5; at += 1) await node.journal.putOwned(sourceOf(at));
  isStuck = (method) => method === 'bdev_nvme_attach_controller';
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  let isDone = false;
  const all = restore.all().then(() => (isDone = true));
  await vi.waitFor(() => expect(isExported(19)).toBe(true));
  expect(isDone).toBe(false);
  // Eight looks at which nothing more is back, and one or two at which something was.
  for (let look = 0; look < 12; look += 1) {
    await vi.advanceTimersByTimeAsync(250);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(isDone).toBe(true);
  await all;
  // What stands on a path that is not there yet has not been tried.
  expect(Array.from({ length: 20 }, (_, at) => isExported(at))).toEqual(
    Array.from({ length: 20 }, (_, at) => at >= 5),
  );
  expect(restore.isIncomplete).toBe(true);

  vi.useRealTimers();
  isStuck = () => false;
  for (let at = 0; at < 5; at += 1) node.target.reachable.set(`nqn.far-${at}`, `far-${at}`);
  const before = asked('nvmf_create_subsystem');
  const again = restore.retry();
  // What is being tried is not tried a second time beside that.
  expect(restore.isIncomplete).toBe(false);
  for (const fail of stuck) fail(connectionLost());
  await again;
  // What was given up has ended too by now, and has said so.
  await restore.retry();
  expect(restore.isIncomplete).toBe(false);
  expect(node.target.controllers.size).toBe(5);
  expect(Array.from({ length: 20 }, (_, at) => isExported(at))).not.toContain(false);
  // Those that were put back before are left alone.
  expect(asked('nvmf_create_subsystem') - before).toBe(5);
});

test('an export whose record goes while it waits for its turn is not made', async () => {
  await node.journal.putOwned(exportOf(1));
  let remove: Promise<void> | undefined;
  node.target.before = (method) => {
    if (method === 'nvmf_get_transports') remove = node.exports.remove('nqn.leg-1');
  };
  await restore.all();
  await remove;
  expect(node.target.subsystems.size).toBe(0);
  expect(restore.isIncomplete).toBe(false);
});

test('how fast a scratch is written to is on record before it is set, and set again on a new target', async () => {
  const scratch = {
    ...{ replica: 'rep-1', volume: 'vol-1', disk: 'disk-1', sizeBytes: 8 * MIB },
    ...{ parent: null, hostNqn: 'nqn.writer', mibPerSecond: 7 },
  };
  node.target.before = (method) => {
    if (method !== 'bdev_set_qos_limit') return;
    const record = node.lvols.recordOf('rep-1', 'scratch');
    expect(record?.params.writeMibPerSecond).toBe(7);
  };
  const { uuid } = await node.handlers['rebuild.create-scratch'](scratch, newContext());
  node.target.limits.clear();
  node.target.subsystems.clear();
  await restore.all();
  expect(node.target.limits.get(uuid)).toEqual({ w_mbytes_per_sec: 7 });
  expect(node.target.subsystems.has(scratchNqn('rep-1'))).toBe(true);
  node.target.before = () => undefined;
  await node.handlers['rebuild.create-scratch']({ ...scratch, mibPerSecond: 0 }, newContext());
  node.target.limits.clear();
  await restore.all();
  expect(node.target.limits.size).toBe(0);
});
