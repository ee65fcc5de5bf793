import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { delay, MIB } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { readAt } from '../contract/support/pattern.js';
import { softTarget } from '../contract/support/target-kind.js';
import { TargetProcess } from '../contract/support/target-process.js';
import { BLOCK_BYTES } from './block-content.js';
import { SnapshotChurn } from './snapshot-churn.js';
import { SteadyLoad } from './steady-load.js';
import { VolatileDisk, whyNoVolatileDisk } from './volatile-disk.js';
import { WriteHistory } from './write-history.js';

const ROUNDS = 100;
const SIZE_MIB = 16;
const NQN = 'nqn.2026-01.io.lariat:head';
const HOST = 'nqn.2026-01.io.lariat:user';

const missing = whyNoVolatileDisk();

describe.skipIf(missing !== undefined)(`a power cut (${missing ?? 'everything is here'})`, () => {
  let disk: VolatileDisk;
  let target: TargetProcess | undefined;

  beforeEach(async () => {
    disk = await VolatileDisk.make(384 * MIB);
    await disk.powerOn();
  });

  afterEach(async () => {
    await target?.stop();
    await disk.remove();
  });

  test(`leaves all that was flushed, ${ROUNDS} times, and no byte of the disk's past`, async () => {
    const folder = join(disk.mountPoint, 'target');
    await mkdir(folder);
    target = await TargetProcess.start(disk.bootedKind(softTarget), folder, 0);
    await target.soilDisk();
    await target.makeStore(64 * 1024);
    const lvol = await target.createLvol('head', SIZE_MIB);
    const history = new WriteHistory((SIZE_MIB * MIB) / BLOCK_BYTES);
    for (let round = 0; round < ROUNDS; round += 1) {
      await target.exportBdev(NQN, lvol, HOST);
      const { device, close } = await connectNamespace(target.port, NQN, HOST);
      if (round === 0) await device.flush();
      const load = new SteadyLoad(device, history);
      const churn = new SnapshotChurn(target.spdk, lvol, `r${round}`);
      await delay(20 + Math.random() * 150);
      load.expectDeath();
      churn.expectDeath();
      await disk.cut();
      await target.kill();
      await close();
      await Promise.all([load.end(), churn.end()]);
      await disk.clear();

      await disk.powerOn();
      await target.restart();
      await target.openDisk();
      await target.exportBdev(NQN, lvol, HOST);
      const after = await connectNamespace(target.port, NQN, HOST);
      const content = await readAt(after.device, 0, after.device.sizeBytes);
      expect(history.violations(content, 'flushed'), `round ${round}`).toEqual([]);
      history.settle(content, 'flushed');
      await after.close();
      await target.spdk.nvmf.deleteSubsystem(NQN);
    }
    expect(history.acknowledgedWrites).toBeGreaterThan(ROUNDS * 20);
  });
});
