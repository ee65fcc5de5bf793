import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { delay } from '@lariat/kernel';

const run = promisify(execFile);
const START_DEADLINE_MS = 10_000;

export const has = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((dir) => existsSync(join(dir, program)));

/** One kind of load, as fio names it. */
export interface Load {
  readonly name: string;
  readonly rw: 'randread' | 'randwrite' | 'read' | 'write';
  readonly blockBytes: number;
  readonly queueDepth: number;
}

export const LOADS: readonly Load[] = [
  { name: '4 KiB random read, queue depth 32', rw: 'randread', blockBytes: 4096, queueDepth: 32 },
  { name: '4 KiB random write, queue depth 32', rw: 'randwrite', blockBytes: 4096, queueDepth: 32 },
  { name: '128 KiB sequential read', rw: 'read', blockBytes: 131_072, queueDepth: 8 },
  { name: '128 KiB sequential write', rw: 'write', blockBytes: 131_072, queueDepth: 8 },
];

/** I/Os per second of the load over NBD, measured by fio for `seconds`. */
export async function fio(uri: string, load: Load, seconds: number): Promise<number> {
  const { stdout } = await run(
    'fio',
    [
      '--name=bench',
      '--ioengine=nbd',
      `--uri=${uri}`,
      `--rw=${load.rw}`,
      `--bs=${load.blockBytes}`,
      `--iodepth=${load.queueDepth}`,
      '--time_based',
      `--runtime=${seconds}`,
      '--ramp_time=1',
      '--output-format=json',
    ],
    { maxBuffer: 16 * 1024 * 1024 },
  );
  const report = JSON.parse(stdout.slice(stdout.indexOf('{'))) as {
    jobs: readonly { read: { iops: number }; write: { iops: number } }[];
  };
  const [job] = report.jobs;
  if (job === undefined) throw new Error('fio reported no job');
  return load.rw.endsWith('read') ? job.read.iops : job.write.iops;
}

export interface NbdPeer {
  readonly name: string;
  readonly uri: string;
  stop(): Promise<void>;
}

/** nbdkit's file plugin or qemu-nbd on a file, each with the page cache between, as soft-target has it. */
export async function startPeer(
  name: 'nbdkit' | 'qemu-nbd',
  file: string,
  socket: string,
): Promise<NbdPeer> {
  const child =
    name === 'nbdkit'
      ? spawn('nbdkit', ['--foreground', '-U', socket, 'file', file], { stdio: 'ignore' })
      : spawn('qemu-nbd', ['-k', socket, '-f', 'raw', '-t', '-e', '8', file], { stdio: 'ignore' });
  const deadline = performance.now() + START_DEADLINE_MS;
  while (!existsSync(socket)) {
    if (child.exitCode !== null || performance.now() > deadline)
      throw new Error(`${name} does not start`);
    await delay(20);
  }
  return { name, uri: `nbd+unix:///?socket=${socket}`, stop: () => stopped(child) };
}

function stopped(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}
