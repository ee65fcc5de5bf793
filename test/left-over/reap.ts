import { execFile } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { promisify } from 'node:util';
import { clusterPaths, isRunning, signalProcess, stopRemains, waitForEnd } from '@lariat/cli';
import { unmountAllIn } from './mounts.js';
import { type KeptRecord, keptRecords, thisBoot } from './record.js';

const run = promisify(execFile);
const KILL_TIMEOUT_MS = 10_000;

/** Before a suite: what tests left that were killed before they could clean up. */
export async function setup(): Promise<void> {
  for (const folder of await reap())
    process.stderr.write(`removed what a killed test left: ${folder}\n`);
}

/** Removes what is on record of tests that no longer run. Answers their folders. */
export async function reap(): Promise<readonly string[]> {
  const boot = thisBoot();
  const left = keptRecords().filter(
    ({ record }) => record.boot !== boot || !isRunning(record.test),
  );
  for (const kept of left) await remove(kept, boot);
  return left.map(({ record }) => record.folder);
}

async function remove({ file, record }: KeptRecord, boot: string): Promise<void> {
  const { folder, processes, interfaces = [] } = record;
  // After a boot the pids are others'.
  if (record.boot === boot) {
    await stopRemains(clusterPaths(folder));
    // The latest first: it uses what the earlier ones serve.
    for (const identity of processes.toReversed()) {
      signalProcess(identity, 'SIGKILL');
      await waitForEnd(identity, KILL_TIMEOUT_MS);
    }
    for (const name of interfaces)
      if (existsSync(`/sys/class/net/${name}`)) await run('ip', ['link', 'delete', name]);
  }
  await unmountAllIn(folder);
  rmSync(folder, { recursive: true, force: true });
  rmSync(file, { force: true });
}
