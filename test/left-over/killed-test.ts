import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MIB } from '@lariat/kernel';
import { softTarget } from '../contract/support/target-kind.js';
import { TargetProcess } from '../contract/support/target-process.js';
import { VolatileDisk } from '../crash/volatile-disk.js';
import { ChaosCluster } from '../chaos/chaos-cluster.js';

/** Stands for a test that is killed: it makes what tests make, says so, and waits. */
const disk = await VolatileDisk.make(384 * MIB);
await disk.powerOn();
const folder = join(disk.mountPoint, 'target');
await mkdir(folder);
const target = await TargetProcess.start(disk.bootedKind(softTarget), folder, 0);
const chaos = await ChaosCluster.start(1);
const { dataDir } = chaos.cluster.paths;
const pids = [
  target.pid,
  ...chaos.cluster.processes().flatMap(({ pid }) => (pid === null ? [] : [pid])),
];
process.stdout.write(`${JSON.stringify({ mountPoint: disk.mountPoint, dataDir, pids })}\n`);
setInterval(() => undefined, 60_000);
