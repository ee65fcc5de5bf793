import { expect, it } from 'vitest';
import { findProgram } from './find-program.js';
import { type ProgramRun, runProgram } from './run-program.js';

const run = (script: string, over: Partial<ProgramRun> = {}) =>
  runProgram({ path: '/bin/sh', args: ['-c', script], deadlineMs: 20_000, ...over });

it('gives a program its input, which stands nowhere else', async () => {
  const input = 'a secret\nof two lines';
  const seen = await run('cat; tr "\\0" " " </proc/$$/cmdline', { input });
  expect(seen.outcome).toEqual({ kind: 'ended', code: 0 });
  expect(seen.stdout.toString()).toMatch(/^a secret\nof two lines\/bin\/sh -c cat;/);
  expect(seen.stdout.toString().split('a secret')).toHaveLength(2);
});

it('ends by the code of one that does not read its input', async () => {
  const { outcome } = await run('exec <&-; exit 2', { input: 'x'.repeat(1024 * 1024) });
  expect(outcome).toEqual({ kind: 'ended', code: 2 });
});

it('without an input there is nothing to read', async () => {
  const { outcome, stdout } = await run('cat');
  expect([outcome, stdout.length]).toEqual([{ kind: 'ended', code: 0 }, 0]);
});

it('says that one which is late was ended, and that nobody knows what it has done', async () => {
  const { outcome } = await run('sleep 1000', { deadlineMs: 200 });
  expect(outcome).toEqual({ kind: 'late', isGone: true });
});

it('says why one could not be begun', async () => {
  const { outcome } = await run('', { path: '/no/such/program' });
  expect(outcome).toMatchObject({ kind: 'failed', reason: expect.stringContaining('ENOENT') });
});

it('finds a program where services have no PATH to it', () => {
  expect(findProgram('sh', '')).toMatch(/\/sh$/);
  expect(findProgram('no-such-program')).toBeUndefined();
});
