import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { identify, identifyAt, isRunning, stopProcess } from './process-identity.js';

const sleeper = () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  return identify(child.pid ?? 0);
};

describe('a process and its start time', () => {
  it('is running while the very process lives', async () => {
    const identity = sleeper();
    expect(isRunning(identity)).toBe(true);
    await stopProcess(identity, 2_000);
    expect(isRunning(identity)).toBe(false);
  });

  it('is not another process that got the same pid', async () => {
    const identity = sleeper();
    const earlier = { ...identity, startTime: String(Number(identity.startTime) - 1) };
    expect(isRunning(earlier)).toBe(false);
    await stopProcess(earlier, 100);
    expect(isRunning(identity)).toBe(true);
    await stopProcess(identity, 2_000);
  });

  it('is known by a moment at which it held the pid', async () => {
    const identity = sleeper();
    expect(identifyAt(identity.pid, Date.now())).toEqual(identity);
    expect(identifyAt(identity.pid, Date.now() - 60_000)).toBeUndefined();
    await stopProcess(identity, 2_000);
  });
});
