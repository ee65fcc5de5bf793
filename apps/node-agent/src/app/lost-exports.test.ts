import 'reflect-metadata';
import { ReconcileCounts } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { exportedReplica, fixture, silentLog, tempDir, type Fixture } from '../testing/fixture.js';
import { LostExports } from './lost-exports.js';

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
let watch: LostExports;
let nqn: string;
let lost: string | undefined;
/** Modes of the volume's replicas as this node has heard them; the first is its own. */
let modes: readonly string[];

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
  [lost, modes] = [undefined, ['RW', 'RW']];
  const replicas = () => modes.map((mode, index) => ({ id: `rep-${index + 1}`, mode }));
  const journal = new Proxy(node.journal, {
    get: (target, key) => {
      if (key === 'record') return () => ({ replicas: replicas() });
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  watch = new LostExports({
    ...{ ...node, journal, log: silentLog, counts: new ReconcileCounts() },
    lost: () => lost,
  });
  nqn = await exportedReplica(node);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

async function round(): Promise<boolean> {
  await watch.look();
  await node.queue.idle();
  return node.target.subsystems.has(nqn);
}

test('a replica on a lost disk is taken from its engine, and stays on record', async () => {
  expect(await round()).toBe(true);
  lost = 'its disk is lost';
  expect(await round()).toBe(false);
  expect(node.journal.owned('subsystem', nqn)?.params.hosts).toEqual(['nqn.host']);
  const { length } = node.target.changes();
  expect(await round()).toBe(false);
  expect(node.target.changes()).toHaveLength(length);
});

test.each([
  { what: 'no other is in sync', others: ['ERR', 'WO'] },
  { what: 'nothing was heard of others', others: [] },
])('it stays where $what', async ({ others }) => {
  lost = 'its disk is lost';
  modes = ['RW', ...others];
  expect(await round()).toBe(true);
});

test('it is given back when the others are lost after it', async () => {
  lost = 'its disk is lost';
  expect(await round()).toBe(false);
  modes = ['RW', 'ERR'];
  expect(await round()).toBe(true);
  expect(node.target.subsystems.get(nqn)?.hosts).toContain('nqn.host');
});
