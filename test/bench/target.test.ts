import { copyFile, open } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join, dirname } from 'node:path';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { pattern, writeAt } from '../contract/support/pattern.js';
import { softTarget } from '../contract/support/target-kind.js';
import { waitUntil } from '../contract/support/wait-until.js';

const LVOLS = 1000;
const LVOL_MIB = 10 * 1024;
const COPY_MIB = 512;
const HOST = 'nqn.2026-01.io.lariat:bench';

const print = (line: string): boolean => process.stderr.write(`${line}\n`);

function residentMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** Bytes that a bdev was told to write since it was opened. */
async function bytesWritten(
  rpc: { call(method: string, params: object): Promise<unknown> },
  name: string,
): Promise<number> {
  const stat = (await rpc.call('bdev_get_iostat', { names: [name] })) as {
    readonly bdevs: readonly { readonly bytes_written: number }[];
  };
  return stat.bdevs[0]?.bytes_written ?? Number.NaN;
}

let lab: Lab;
beforeEach(async () => {
  lab = await Lab.open(softTarget);
});
afterEach((context) => lab.close(context));

it(`a target that holds ${LVOLS} lvols of 10 GiB`, async () => {
  const target = await lab.startTarget();
  await target.makeStore();
  for (let index = 0; index < LVOLS; index += 1) await target.createLvol(`v${index}`, LVOL_MIB);
  await target.kill();
  const begun = performance.now();
  await target.restart();
  await target.openDisk();
  const lvols = await target.spdk.lvol.getLvols();
  const tookMs = performance.now() - begun;
  expect(lvols).toHaveLength(LVOLS);
  print(
    `${LVOLS} lvols of 10 GiB: there ${tookMs.toFixed(0)} ms after the start (aim: under 3000)`,
  );
  print(`  resident: ${residentMib(target.pid).toFixed(0)} MiB (aim: under 250)`);
}, 120_000);

it('copies a snapshot to another target', async () => {
  const source = await lab.startTarget();
  const destination = await lab.startTarget();
  for (const target of [source, destination]) {
    const disk = await open(target.diskPath, 'r+');
    await disk.truncate((COPY_MIB + 128) * MIB);
    await disk.close();
    await target.makeStore();
  }
  const head = await source.createLvol('head', COPY_MIB);
  await source.exportBdev('nqn.2026-01.io.lariat:fill', head, HOST);
  const { device, close } = await connectNamespace(source.port, 'nqn.2026-01.io.lariat:fill', HOST);
  const content = pattern(64 * MIB);
  for (let at = 0; at < COPY_MIB; at += 64) await writeAt(device, at * MIB, content);
  await device.flush();
  await close();
  await source.spdk.nvmf.deleteSubsystem('nqn.2026-01.io.lariat:fill');
  const snapshot = await source.spdk.lvol.snapshot(head, 'snap');

  const plainCopy = join(dirname(source.diskPath), 'copy');
  const copyBegun = performance.now();
  await copyFile(source.diskPath, plainCopy);
  const copied = await open(plainCopy, 'r+');
  await copied.datasync();
  await copied.close();
  const copyMs = performance.now() - copyBegun;

  const scratch = await destination.createLvol('scratch', COPY_MIB);
  const nqn = 'nqn.2026-01.io.lariat:scratch';
  await destination.exportBdev(nqn, scratch, HOST);
  await source.spdk.nvme.attachController({
    ...{ name: 'scratch', traddr: '127.0.0.1', trsvcid: destination.port },
    ...{ subnqn: nqn, hostnqn: HOST },
  });
  const before = await bytesWritten(destination.rpc, 'disk');
  const begun = performance.now();
  const operation = await source.spdk.lvol.startShallowCopy(snapshot, 'scratchn1');
  await waitUntil('the shallow copy', 60_000, async () => {
    const { state } = await source.spdk.lvol.checkShallowCopy(operation);
    return state !== 'in progress';
  });
  const tookMs = performance.now() - begun;
  const moved = (await bytesWritten(destination.rpc, 'disk')) - before;
  await source.spdk.nvme.detachController('scratch');
  const speed = (ms: number): string => `${(COPY_MIB / (ms / 1000)).toFixed(0)} MiB/s`;
  print(
    `snapshot of ${COPY_MIB} MiB to another target: ${speed(tookMs)}, ${(copyMs / tookMs).toFixed(2)} of a plain copy with fdatasync, ${speed(copyMs)} (aim: at least 0.6)`,
  );
  print(
    `  written there: ${(moved / (COPY_MIB * MIB)).toFixed(3)} of the allocated bytes (aim: at most 1.05)`,
  );
  expect(moved).toBeGreaterThanOrEqual(COPY_MIB * MIB);
}, 120_000);
