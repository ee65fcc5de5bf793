import { delay } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { readAt } from '../contract/support/pattern.js';
import { softTarget } from '../contract/support/target-kind.js';
import type { TargetProcess } from '../contract/support/target-process.js';
import { BLOCK_BYTES } from './block-content.js';
import { SnapshotChurn } from './snapshot-churn.js';
import { SteadyLoad } from './steady-load.js';
import { WriteHistory } from './write-history.js';

const ROUNDS = 100;
const SIZE_MIB = 16;
const NQN = 'nqn.2026-01.io.lariat:head';
const HOST = 'nqn.2026-01.io.lariat:user';

let lab: Lab;
let target: TargetProcess;

beforeEach(async () => {
  lab = await Lab.open(softTarget);
  target = await lab.startTarget();
});

afterEach((context) => lab.close(context));

test.each([
  { clusterBytes: 64 * 1024, rounds: ROUNDS, leastWrites: ROUNDS * 20 },
  // Written whole, such clusters go past the page cache.
  { clusterBytes: 1024 * 1024, rounds: ROUNDS / 4, leastWrites: ROUNDS },
])(
  'a target that is killed $rounds times under load, on a disk full of old bytes, loses no acknowledged write (clusters of $clusterBytes bytes)',
  async ({ clusterBytes, rounds, leastWrites }) => {
    await target.soilDisk();
    await target.makeStore(clusterBytes);
    const lvol = await target.createLvol('head', SIZE_MIB);
    const history = new WriteHistory((SIZE_MIB * 1024 * 1024) / BLOCK_BYTES);
    let snapshotsMade = 0;
    for (let round = 0; round < rounds; round += 1) {
      await target.exportBdev(NQN, lvol, HOST);
      const { device, close } = await connectNamespace(target.port, NQN, HOST);
      const load = new SteadyLoad(device, history, clusterBytes / BLOCK_BYTES);
      const churn = new SnapshotChurn(target.spdk, lvol, `r${round}`);
      await delay(20 + Math.random() * 150);
      load.expectDeath();
      churn.expectDeath();
      await target.kill();
      // The host would wait for the target to come back; what it has not heard of by now stays unknown.
      await close();
      await Promise.all([load.end(), churn.end()]);
      snapshotsMade += churn.made;

      await target.restart();
      await target.openDisk();
      await target.exportBdev(NQN, lvol, HOST);
      const after = await connectNamespace(target.port, NQN, HOST);
      const content = await readAt(after.device, 0, after.device.sizeBytes);
      expect(history.violations(content, 'acknowledged'), `round ${round}`).toEqual([]);
      history.settle(content, 'acknowledged');
      await after.close();
      await target.spdk.nvmf.deleteSubsystem(NQN);
    }
    expect(history.acknowledgedWrites).toBeGreaterThan(leastWrites);
    expect(snapshotsMade).toBeGreaterThan(rounds / 2);
  },
);
