import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { delay, MIB } from '@lariat/kernel';
import type { BlockDevice } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { softTarget } from '../contract/support/target-kind.js';
import { TargetProcess } from '../contract/support/target-process.js';
import { BLOCK_BYTES } from './block-content.js';
import { contentAfterRestart } from './content-after-restart.js';
import { SteadyLoad } from './steady-load.js';
import { VolatileDisk, whyNoVolatileDisk } from './volatile-disk.js';
import { WriteHistory } from './write-history.js';

const SIZE_MIB = 16;
const CLUSTER_BYTES = 64 * 1024;
const NQN = 'nqn.2026-01.io.lariat:head';
const HOST = 'nqn.2026-01.io.lariat:user';
const ROUNDS = 5;

const missing = whyNoVolatileDisk();

describe.skipIf(missing !== undefined)(
  `writes that fail (${missing ?? 'everything is here'})`,
  () => {
    let disk: VolatileDisk;
    let target: TargetProcess | undefined;

    beforeEach(() => {
      target = undefined;
    });

    afterEach(async () => {
      await target?.kill().catch(() => undefined);
      await disk.remove();
    });

    test.each([
      { name: 'in the file system of the disk', features: 'has_journal' },
      // One with a journal takes no more writes after such an error; this one goes on as if nothing had been.
      { name: 'in a file system that goes on', features: '^has_journal' },
    ])('are never covered by a flush that is acknowledged, $name', async ({ features }) => {
      disk = await VolatileDisk.make(384 * MIB, features);
      for (let round = 0; round < ROUNDS; round += 1) {
        await disk.powerOn();
        const folder = join(disk.mountPoint, `target-${round}`);
        await mkdir(folder);
        target = await TargetProcess.start(disk.bootedKind(softTarget), folder, 0, 48 * MIB);
        await target.makeStore(CLUSTER_BYTES);
        const lvol = await target.createLvol('head', SIZE_MIB);
        await target.exportBdev(NQN, lvol, HOST);
        const { device, close } = await connectNamespace(target.port, NQN, HOST);
        const history = new WriteHistory((SIZE_MIB * MIB) / BLOCK_BYTES);
        const load = new SteadyLoad(device, history);
        await delay(100 + Math.random() * 100);
        load.expectDeath();
        await load.end();

        await disk.failWrites();
        expect(await flushesUntilOneFails(device, history)).toBe('failed');
        await disk.takeWrites();
        for (let at = 0; at < 20; at += 1) await writeAndFlush(device, history, at * 37);

        await disk.cut();
        await target.kill();
        await close();
        await disk.clear();
        await disk.powerOn();
        const content = await contentAfterRestart(target, lvol, { nqn: NQN, hostNqn: HOST });
        expect(history.violations(content, 'flushed'), `round ${round}`).toEqual([]);
        await target.kill();
        await disk.clear();
      }
    });
  },
);

/** Writes and flushes side by side, until the disk's error has come out. */
async function flushesUntilOneFails(
  device: BlockDevice,
  history: WriteHistory,
): Promise<'failed' | 'all were acknowledged'> {
  for (let at = 0; at < 200; at += 1) {
    const outcomes = await Promise.all(
      [0, 1, 2].map((lane) => writeAndFlush(device, history, (at * 3 + lane) * 19)),
    );
    if (outcomes.includes('failed')) return 'failed';
  }
  return 'all were acknowledged';
}

/** An error of either is an answer like any other; what was acknowledged is held against the target. */
async function writeAndFlush(
  device: BlockDevice,
  history: WriteHistory,
  at: number,
): Promise<'flushed' | 'failed'> {
  const write = history.begin(at % history.blocks, 1, false);
  try {
    await device.write((at % history.blocks) * BLOCK_BYTES, write.data);
    history.acknowledge(write);
    const covered = history.beginFlush();
    await device.flush();
    history.flushed(covered);
    return 'flushed';
  } catch {
    return 'failed';
  }
}
