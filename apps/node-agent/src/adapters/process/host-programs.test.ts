import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { ProgramTask } from '../../ports/programs.port.js';
import { tempDir } from '../../testing/fixture.js';
import { HostPrograms } from './host-programs.js';
import { readProcStat } from './proc-stat.js';

let dir: ReturnType<typeof tempDir>;
let lines: { message: string; fields: Readonly<Record<string, unknown>> }[];
let programs: HostPrograms;

beforeEach(() => {
  dir = tempDir();
  lines = [];
  const note = (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
    lines.push({ message, fields });
  };
  programs = new HostPrograms({ info: note, warn: note, error: note });
});
afterEach(() => dir.remove());

const task = (program: string, args: readonly string[], over: Partial<ProgramTask> = {}) => ({
  ...{ program, args, deadlineMs: 20_000, why: 'try it', operation: 'op-1' },
  ...over,
});

it('passes arguments as they are, with no shell between, and gives back all that was said', async () => {
  const odd = '$(id) `id` ; "q" \'s\' > x\n*';
  const end = await programs.run(task('printf', ['%s', odd]));
  expect(end).toEqual({ code: 0, stdout: odd, stderr: '' });
});

it('tells of an exit code as an answer: what it means is for the caller to say', async () => {
  const script = 'echo out; echo err >&2; exit 7';
  const end = await programs.run(task('sh', ['-c', script]));
  expect(end).toEqual({ code: 7, stdout: 'out\n', stderr: 'err' });
});

it('writes one line a run: what, why, for whom, with which result, and how long', async () => {
  await programs.run(task('sh', ['-c', 'echo no >&2; exit 3'], { why: 'make a device' }));
  expect(lines).toEqual([
    {
      message: 'program did not succeed',
      fields: {
        program: 'sh',
        args: ['-c', 'echo no >&2; exit 3'],
        why: 'make a device',
        operation: 'op-1',
        code: 3,
        ms: expect.any(Number),
        stderr: 'no',
      },
    },
  ]);
});

it('names a program that is missing, and what it was needed for', async () => {
  await expect(programs.run(task('no-such-program', []))).rejects.toMatchObject({
    code: 'PROGRAM_MISSING',
    message: expect.stringContaining(
      'no-such-program is not on this node, and is needed to try it',
    ),
  });
});

it('ends a late one with all that it started, and says that its outcome is unknown', async () => {
  const pidFile = join(dir.path, 'pid');
  const script = `sleep 1000 & echo $! > ${pidFile}; wait`;
  await expect(
    programs.run(task('sh', ['-c', script], { deadlineMs: 4_000 })),
  ).rejects.toMatchObject({ code: 'PROGRAM_LATE', kind: 'timeout' });
  expect(existsSync(pidFile)).toBe(true);
  const child = Number(readFileSync(pidFile, 'utf8'));
  // It has been killed; leaving the process table takes a moment more.
  const isGone = (): boolean => [undefined, 'Z', 'X'].includes(readProcStat(child)?.state);
  await vi.waitUntil(isGone, { timeout: 10_000 });
  expect(isGone()).toBe(true);
});

it('does not wait for a child that keeps its output open after the deadline', async () => {
  // In a session of its own, so that the kill of the group does not reach it.
  const pidFile = join(dir.path, 'pid');
  const script = `setsid sh -c 'echo $$ > ${pidFile}; exec sleep 1000' & wait`;
  await expect(
    programs.run(task('sh', ['-c', script], { deadlineMs: 4_000 })),
  ).rejects.toMatchObject({ code: 'PROGRAM_LATE' });
  process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
});

it('ends one that says too much', async () => {
  await expect(programs.run(task('yes', []))).rejects.toMatchObject({
    code: 'PROGRAM_FAILED',
    message: expect.stringContaining('it said more than'),
  });
});

it('tells of one that a signal ended', async () => {
  await expect(programs.run(task('sh', ['-c', 'kill -9 $$']))).rejects.toMatchObject({
    code: 'PROGRAM_FAILED',
    message: expect.stringContaining('SIGKILL'),
  });
});
