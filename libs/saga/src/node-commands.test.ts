import { type CommandName, lariatError } from '@lariat/contracts';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type NodeAccess, attemptWhileLive, cleanUp, commandWhileLive } from './node-commands.js';

const NAME: CommandName = 'replica.delete';
const INPUT = { replica: 'r', volume: 'v' };
const never = (): Promise<never> => new Promise(() => undefined);

/** `state`: what the node's record says; undefined when no service answers for it. */
function access(command: () => Promise<unknown>, state: () => string | undefined): NodeAccess {
  const request = (): Promise<unknown> => {
    const found = state();
    return found === undefined
      ? Promise.reject(lariatError('SERVICE_UNAVAILABLE', 'no service answers'))
      : Promise.resolve({ state: found });
  };
  const context = { operation: 'op', command, client: { request }, log: { info: () => undefined } };
  return context as unknown as NodeAccess;
}

describe('a command to a node', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('ends as soon as the node is declared gone, long before its deadline', async () => {
    let state = 'suspect';
    const context = access(never, () => state);
    const options = { key: 'k', timeoutMs: 3_600_000 };
    const outcome = commandWhileLive(context, 'n1', NAME, INPUT, options).catch(
      (error: unknown) => error,
    );
    await vi.advanceTimersByTimeAsync(2_000);
    state = 'down';
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await outcome).toMatchObject({ code: 'NODE_NOT_READY' });
  });

  it('is not sent to a node that is gone', async () => {
    const command = vi.fn<() => Promise<never>>(never);
    const context = access(command, () => 'down');
    expect(await attemptWhileLive(context, 'n1', NAME, INPUT, 'k')).toMatchObject({
      ok: false,
      error: { code: 'NODE_NOT_READY' },
    });
    expect(command).not.toHaveBeenCalled();
  });

  it('is sent, and its answer counts, when nobody can say how the node is', async () => {
    const context = access(
      () => Promise.resolve({}),
      () => undefined,
    );
    expect(await attemptWhileLive(context, 'n1', NAME, INPUT, 'k')).toEqual({
      ok: true,
      output: {},
    });
  });

  it('that takes something away leaves it to the reconciler when the node is gone, and only then', async () => {
    await expect(
      cleanUp(
        access(never, () => 'down'),
        'n1',
        NAME,
        INPUT,
        'k',
      ),
    ).resolves.toBe(undefined);
    const refusing = access(
      () => Promise.reject(lariatError('NOT_OWNED', 'no')),
      () => 'ready',
    );
    await expect(cleanUp(refusing, 'n1', NAME, INPUT, 'k')).rejects.toMatchObject({
      code: 'NOT_OWNED',
    });
  });
});
