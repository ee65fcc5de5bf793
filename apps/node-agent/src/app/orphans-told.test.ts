import 'reflect-metadata';
import type { Inventory, NodeRegistration } from '@lariat/contracts';
import { ReconcileCounts, systemClock } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { fixture, silentLog, tempDir, type Fixture } from '../testing/fixture.js';
import { ORPHAN_SEEN_WITHIN_MS, ORPHAN_WATCH_MS, OrphanWatch } from './orphan-watch.js';
import { CHANGE_POLL_MS, Presence } from './presence.js';

/** All that a node had is finished, or found, within this of its death or its return. */
const FINISHED_WITHIN_MS = 60_000;
const TOLD_WITHIN_MS = ORPHAN_SEEN_WITHIN_MS + CHANGE_POLL_MS;
const ORPHAN = 'rep-111111111111';

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
let inventories: { readonly atMs: number; readonly told: Inventory }[];
let end: () => void;

/** The looks of an agent, as far apart as they are, by a clock of the test's own. */
beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance', 'Date'] });
  inventories = [];
  const watch = new OrphanWatch({ ...node, clock: systemClock, counts: new ReconcileCounts() });
  const presence = new Presence({
    ...{ node: 'n1', agentInstance: 'i', journal: node.journal, log: silentLog },
    controlPlane: {
      register: () => new Promise(() => undefined),
      inventory: (told) => inventories.push({ atMs: performance.now(), told }),
      ...{ claimStore: () => Promise.resolve(), reportEngine: () => Promise.resolve() },
      ...{ heartbeat: () => undefined, progress: () => undefined },
    },
    registration: () => ({ name: 'n1' }) as NodeRegistration,
    ...{ images: () => [], targetFault: () => undefined, absent: () => undefined },
    unowned: () => watch.sight,
  });
  const timer = setInterval(() => void watch.look(), ORPHAN_WATCH_MS);
  presence.start();
  end = () => {
    clearInterval(timer);
    presence.stop();
  };
});
afterEach(async () => {
  end();
  vi.useRealTimers();
  await node.journal.close();
  dir.remove();
});

const appears = (): Promise<string> =>
  node.target.spdk().lvol.create({ store: { lvsName: 'disk-1' }, lvolName: ORPHAN, sizeMib: 4 });
const toldOf = () =>
  inventories.flatMap(({ atMs, told }) =>
    (told.unowned?.things ?? []).map((thing) => ({ atMs, thing })),
  );

test('what a node has without an owner is told in time, whenever between two looks it appears', async () => {
  expect(TOLD_WITHIN_MS).toBeLessThan(FINISHED_WITHIN_MS);
  for (let phaseMs = 0; phaseMs < ORPHAN_WATCH_MS; phaseMs += 250) {
    await vi.advanceTimersByTimeAsync(4 * ORPHAN_WATCH_MS + phaseMs);
    expect(node.target.lvols.size).toBe(0);
    inventories = [];
    const sinceMs = performance.now();
    await appears();
    await vi.advanceTimersByTimeAsync(TOLD_WITHIN_MS);
    const [first] = toldOf();
    expect(first?.thing).toMatchObject({ kind: 'lvol', name: `disk-1/${ORPHAN}` });
    expect((first?.atMs ?? Infinity) - sinceMs).toBeLessThanOrEqual(TOLD_WITHIN_MS);
    node.target.lvols.clear();
  }
});

test('it is told as one and the same thing, for as long as it is there', async () => {
  await appears();
  await vi.advanceTimersByTimeAsync(FINISHED_WITHIN_MS);
  const told = toldOf().map(({ thing }) => JSON.stringify(thing));
  expect(told.length).toBeGreaterThan(1);
  expect(new Set(told).size).toBe(1);
});

test('it is told no more from the moment at which it is adopted', async () => {
  const uuid = await appears();
  await vi.advanceTimersByTimeAsync(TOLD_WITHIN_MS);
  expect(toldOf()).not.toEqual([]);
  await node.journal.putOwned({
    ...{ kind: 'lvol', name: `disk-1/${ORPHAN}`, uuid, owner: ORPHAN, volume: 'vol-1' },
    ...{ operation: 'op', epoch: null },
    params: {
      ...{ disk: 'disk-1', lvolName: ORPHAN, role: 'head', snapshot: null, sizeBytes: 4 << 20 },
      ...{ sourceController: null, revertTo: null },
    },
  });
  inventories = [];
  await vi.advanceTimersByTimeAsync(FINISHED_WITHIN_MS);
  expect(inventories.length).toBeGreaterThan(0);
  expect(toldOf()).toEqual([]);
});
