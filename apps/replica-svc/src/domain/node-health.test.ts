import { describe, expect, it } from 'vitest';
import {
  DOWN_AFTER_MS,
  HEARTBEAT_MS,
  STEADY_AFTER_MS,
  SUSPECT_AFTER_MS,
  WAVERS_AFTER_RETURNS,
  judgeNode,
  returnsOf,
  verdictOn,
  withReturn,
} from './node-health.js';

const steady = { silentMs: 0, steadyMs: STEADY_AFTER_MS, targetReady: true, returns: 0 };

describe('a node', () => {
  it.each([
    [0, true, 'heard'],
    [SUSPECT_AFTER_MS - 1, true, 'heard'],
    [SUSPECT_AFTER_MS, true, 'missed'],
    [DOWN_AFTER_MS - 1, true, 'missed'],
    [DOWN_AFTER_MS, true, 'silent'],
    [0, false, 'target-lost'],
  ])('that was silent for %i ms (target ready: %s) is %s', (silentMs, targetReady, event) => {
    expect(judgeNode({ ...steady, silentMs, targetReady }).event).toBe(event);
  });

  it('may miss two heartbeats without being suspected, and is not down for long after that', () => {
    expect(SUSPECT_AFTER_MS).toBeGreaterThan(2 * HEARTBEAT_MS);
    expect(DOWN_AFTER_MS).toBeGreaterThan(2 * SUSPECT_AFTER_MS);
  });

  it('is believed at once when it is back, but for one that has come and gone several times', () => {
    const back = { ...steady, steadyMs: 0 };
    expect(judgeNode({ ...back, returns: WAVERS_AFTER_RETURNS - 1 }).event).toBe('heard');
    expect(judgeNode({ ...back, returns: WAVERS_AFTER_RETURNS }).event).toBe('wavers');
    expect(judgeNode({ ...steady, returns: WAVERS_AFTER_RETURNS }).event).toBe('heard');
  });

  it('stays suspected while it wavers, and is no longer down', () => {
    const wavers = judgeNode({ ...steady, steadyMs: 0, returns: WAVERS_AFTER_RETURNS });
    expect(verdictOn('suspect', wavers)).toBeUndefined();
    expect(verdictOn('down', wavers)).toEqual({ state: 'suspect', reason: wavers.reason });
    // What is ready was believed already.
    expect(verdictOn('ready', wavers)).toBeUndefined();
  });

  it('counts its returns of the last minute, and those of the same agent alone', () => {
    const evidence = (agentInstance: string, returnedAt: readonly string[]) => ({
      evidence: {
        ...{ judge: 'i', missed: 0, returnedAt },
        heartbeat: { at: '', agentInstance, sequence: 1, targetReady: true },
      },
    });
    const first = withReturn({}, 'a', 0);
    expect(first).toEqual([new Date(0).toISOString()]);
    const second = withReturn(evidence('a', first), 'a', 30_000);
    expect(returnsOf(evidence('a', second), 50_000)).toBe(2);
    expect(returnsOf(evidence('a', second), 60_000)).toBe(1);
    expect(withReturn(evidence('a', second), 'b', 50_000)).toHaveLength(1);
  });
});
