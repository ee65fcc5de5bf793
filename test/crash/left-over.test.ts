import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { CHECKOUT, identify, isRunning } from '@lariat/cli';
import { afterEach, describe, expect, it } from 'vitest';
import { mountsIn } from '../left-over/mounts.js';
import { reap } from '../left-over/reap.js';
import { RecordedFolder, keptRecords } from '../left-over/record.js';
import { whyNoVolatileDisk } from './volatile-disk.js';

const run = promisify(execFile);
const missing = whyNoVolatileDisk();

describe('what a killed test has left', () => {
  const folders: RecordedFolder[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) folder.remove();
  });

  function recorded(): RecordedFolder {
    const folder = RecordedFolder.make('lariat-left-over-');
    folders.push(folder);
    return folder;
  }

  it.skipIf(missing !== undefined)(
    `is removed by the next run: cluster, target, mounts, loop devices, folders (${missing ?? 'everything is here'})`,
    async () => {
      await run(join(CHECKOUT, 'node_modules', '.bin', 'tsc'), ['-b', 'test'], { cwd: CHECKOUT });
      const script = join(CHECKOUT, 'test', 'dist', 'left-over', 'killed-test.js');
      const test = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = once(test, 'exit');
      const [line] = (await once(createInterface(test.stdout), 'line')) as [string];
      const made = JSON.parse(line) as { mountPoint: string; dataDir: string; pids: number[] };
      const diskFolder = join(made.mountPoint, '..');
      test.kill('SIGKILL');
      await ended;
      const processes = made.pids.map(identify);
      expect(processes.filter(isRunning)).toEqual(processes);
      expect(mountsIn(diskFolder)).toHaveLength(2);
      expect(await reap()).toEqual(expect.arrayContaining([diskFolder, made.dataDir]));
      expect(processes.filter(isRunning)).toEqual([]);
      expect(mountsIn(diskFolder)).toEqual([]);
      expect([diskFolder, made.dataDir].filter((folder) => existsSync(folder))).toEqual([]);
      expect(await reap()).toEqual([]);
    },
  );

  it('is not what a test that runs has', async () => {
    const folder = recorded();
    expect(await reap()).not.toContain(folder.path);
    expect(existsSync(folder.path)).toBe(true);
  });

  it('is not a process that has got the pid of one of it', async () => {
    const folder = recorded();
    const stranger = spawn('sleep', ['1000'], { stdio: 'ignore' });
    try {
      const kept = keptRecords().find(({ record }) => record.folder === folder.path);
      if (kept === undefined) throw new Error('the folder is not on record');
      const identity = identify(stranger.pid ?? 0);
      // The test has ended, and so has what it started, some time ago.
      const old = { ...identity, startTime: '1' };
      await writeFile(kept.file, JSON.stringify({ ...kept.record, test: old, processes: [old] }));
      expect(await reap()).toContain(folder.path);
      expect(isRunning(identity)).toBe(true);
      expect(existsSync(folder.path)).toBe(false);
    } finally {
      stranger.kill();
    }
  });
});
