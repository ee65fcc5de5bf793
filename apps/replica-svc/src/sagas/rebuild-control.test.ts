import { DEFAULT_REBUILD_CONTROL, type RebuildControl, lariatError } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { nextPieceLimit } from './rebuild-control.js';
import type { RebuildContext, RebuildDeps } from './rebuild-memory.js';

describe('a rebuild that an operator governs', () => {
  let control: Partial<RebuildControl> | undefined;
  let nodeState: 'ready' | 'down';
  let shown: string[];
  let cancellation: AbortController;

  beforeEach(() => {
    vi.useFakeTimers();
    cancellation = new AbortController();
    control = undefined;
    nodeState = 'ready';
    shown = [];
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const deps = (limitMibPerSecond?: number): RebuildDeps =>
    ({
      volumes: {
        fresh: () =>
          Promise.resolve({
            name: 'v',
            ...(control === undefined
              ? {}
              : { rebuild: { ...DEFAULT_REBUILD_CONTROL, ...control } }),
          }),
      },
      ...(limitMibPerSecond === undefined ? {} : { limitMibPerSecond }),
    }) as unknown as RebuildDeps;

  const context = (): RebuildContext =>
    ({
      operation: 'op-1',
      cancellation: cancellation.signal,
      input: { volume: 'vol-1', replica: null },
      memory: {
        source: { id: 'r1', node: 'n1', disk: 'd1' },
        target: { id: 'r2', node: 'n2', disk: 'd2' },
      },
      client: { request: () => Promise.resolve({ state: nodeState }) },
      progress: (_done: number, _total: number, unit: string) => shown.push(unit),
    }) as unknown as RebuildContext;

  it('keeps to the limit of the volume, else to that of the service, else to none', async () => {
    expect(await nextPieceLimit(deps(), context())).toBe(0);
    expect(await nextPieceLimit(deps(7), context())).toBe(7);
    control = { mibPerSecond: 3 };
    expect(await nextPieceLimit(deps(7), context())).toBe(3);
    control = { mibPerSecond: 0 };
    expect(await nextPieceLimit(deps(7), context())).toBe(0);
  });

  it('waits while it is paused, says so, and goes on with the limit of then', async () => {
    control = { paused: true, mibPerSecond: 3 };
    let limit: number | undefined;
    const waiting = nextPieceLimit(deps(), context()).then((given) => (limit = given));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(limit).toBeUndefined();
    expect(shown).toContain('paused by request');
    control = { paused: false, mibPerSecond: 9 };
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await waiting).toBe(9);
  });

  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'ok',
      (error: unknown) => toLariatError(error).code,
    );

  it('does not wait for a node that is declared gone', async () => {
    control = { paused: true };
    const waiting = codeOf(nextPieceLimit(deps(), context()));
    nodeState = 'down';
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await waiting).toBe('NODE_NOT_READY');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('ends when it is cancelled while it is paused', async () => {
    control = { paused: true };
    const waiting = codeOf(nextPieceLimit(deps(), context()));
    await vi.advanceTimersByTimeAsync(0);
    cancellation.abort(lariatError('OPERATION_CANCELLED', 'not wanted'));
    expect(await waiting).toBe('OPERATION_CANCELLED');
    await vi.advanceTimersByTimeAsync(1_000);
    expect(vi.getTimerCount()).toBe(0);
  });
});
