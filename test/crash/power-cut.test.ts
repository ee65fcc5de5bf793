import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { delay, MIB } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { softTarget } from '../contract/support/target-kind.js';
import { TargetProcess } from '../contract/support/target-process.js';
import { waitUntil } from '../contract/support/wait-until.js';
import { BLOCK_BYTES } from './block-content.js';
import { contentAfterRestart } from './content-after-restart.js';
import { SnapshotChurn } from './snapshot-churn.js';
import { SteadyLoad } from './steady-load.js';
import {
  assemble,
  confirmLoss,
  connectVolume,
  contentOf,
  legMissed,
  newHistory,
  newLeg,
  onLeg,
  rejoin,
  reopen,
} from './three-legs.js';
import { VolatileDisk, whyNoVolatileDisk } from './volatile-disk.js';
import { WriteHistory } from './write-history.js';

const ROUNDS = 100;
const SIZE_MIB = 16;
const NQN = 'nqn.2026-01.io.lariat:head';
const HOST = 'nqn.2026-01.io.lariat:user';

const missing = whyNoVolatileDisk();

describe.skipIf(missing !== undefined)(`a power cut (${missing ?? 'everything is here'})`, () => {
  let disk: VolatileDisk;
  let lab: Lab;
  let target: TargetProcess | undefined;

  beforeEach(async () => {
    lab = await Lab.open(softTarget);
    disk = await VolatileDisk.make(384 * MIB);
    await disk.powerOn();
  });

  afterEach(async (context) => {
    await lab.close(context);
    await target?.stop();
    await disk.remove();
  });

  test.each([
    { clusterBytes: 64 * 1024, rounds: ROUNDS, writesARound: 0, leastWrites: ROUNDS * 20 },
    // Written whole, such clusters go past the page cache, and so slowly that a round waits for some.
    { clusterBytes: MIB, rounds: ROUNDS / 4, writesARound: 8, leastWrites: ROUNDS },
  ])(
    `leaves all that was flushed, $rounds times, and no byte of the disk's past (clusters of $clusterBytes bytes)`,
    async ({ clusterBytes, rounds, writesARound, leastWrites }) => {
      const folder = join(disk.mountPoint, 'target');
      await mkdir(folder);
      target = await TargetProcess.start(disk.bootedKind(softTarget), folder, 0);
      await target.soilDisk();
      await target.makeStore(clusterBytes);
      const lvol = await target.createLvol('head', SIZE_MIB);
      const history = new WriteHistory((SIZE_MIB * MIB) / BLOCK_BYTES);
      for (let round = 0; round < rounds; round += 1) {
        await target.exportBdev(NQN, lvol, HOST);
        const { device, close } = await connectNamespace(target.port, NQN, HOST);
        if (round === 0) await device.flush();
        const load = new SteadyLoad(device, history, clusterBytes / BLOCK_BYTES);
        const churn = new SnapshotChurn(target.spdk, lvol, `r${round}`);
        const written = history.acknowledgedWrites + writesARound;
        await waitUntil(`${writesARound} writes`, 60_000, () =>
          Promise.resolve(history.acknowledgedWrites >= written),
        );
        await delay(20 + Math.random() * 150);
        load.expectDeath();
        churn.expectDeath();
        await disk.cut();
        await target.kill();
        await close();
        await Promise.all([load.end(), churn.end()]);
        await disk.clear();

        await disk.powerOn();
        const content = await contentAfterRestart(target, lvol, { nqn: NQN, hostNqn: HOST });
        expect(history.violations(content, 'flushed'), `round ${round}`).toEqual([]);
        history.settle(content, 'flushed');
        await target.spdk.nvmf.deleteSubsystem(NQN);
      }
      expect(history.acknowledgedWrites).toBeGreaterThan(leastWrites);
    },
  );

  test(`leaves all that was flushed on one leg of three, ${ROUNDS} times, and the volume goes on`, async () => {
    const folder = join(disk.mountPoint, 'target');
    await mkdir(folder);
    target = await TargetProcess.start(disk.bootedKind(softTarget), folder, 0);
    const victim = await newLeg('dark', target);
    const engine = await newLeg('here', await lab.startTarget());
    const remotes = [await newLeg('lit', await lab.startTarget()), victim];
    const history = newHistory();
    await assemble(engine, remotes);
    const { device, close } = await connectVolume(engine);
    for (let round = 0; round < ROUNDS; round += 1) {
      const load = new SteadyLoad(device, history);
      await delay(10 + Math.random() * 60);
      await disk.cut();
      await target.kill();
      await legMissed(engine);
      await disk.clear();
      await disk.powerOn();
      await reopen(victim);
      const left = await onLeg(victim, contentOf);
      expect(history.violations(left, 'flushed'), `round ${round}, the leg`).toEqual([]);
      const before = history.acknowledgedWrites;
      await confirmLoss(engine, victim);
      await waitUntil('held writes to be acknowledged', 10_000, () =>
        Promise.resolve(history.acknowledgedWrites > before),
      );
      await load.end();
      const content = await contentOf(device);
      expect(history.violations(content, 'acknowledged'), `round ${round}`).toEqual([]);
      history.settle(content, 'acknowledged');
      await rejoin(engine, victim);
      // What a member was filled with is as safe as it is on the others.
      history.flushed(history.beginFlush());
    }
    await close();
    expect(history.acknowledgedWrites).toBeGreaterThan(ROUNDS * 20);
  });
});
