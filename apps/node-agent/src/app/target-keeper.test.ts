import { lariatError } from '@lariat/contracts';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { TargetLife } from '../ports/target.port.js';
import type { Restore } from './restore.js';
import { TargetKeeper } from './target-keeper.js';

/** A target whose life the test has in its hand. */
class FakeLife implements TargetLife {
  opened = 0;
  stopped = 0;
  fault: string | undefined;
  /** Whether it runs before it is opened. */
  runs = false;
  lost: Promise<string> = Promise.resolve('it was never started');
  private lose: (reason: string) => void = () => undefined;

  constructor(readonly isOurs: boolean) {}

  open(): Promise<{ readonly adopted: boolean }> {
    this.opened += 1;
    if (this.fault !== undefined)
      return Promise.reject(lariatError('TARGET_UNAVAILABLE', this.fault));
    this.lost = new Promise((resolve) => {
      this.lose = resolve;
    });
    return Promise.resolve({ adopted: !this.isOurs || this.runs });
  }

  die(reason: string): void {
    this.lose(reason);
  }

  versionOfBinary(): Promise<string> {
    return Promise.resolve('v2');
  }

  process(): undefined {
    return undefined;
  }

  stop(): Promise<void> {
    this.stopped += 1;
    this.lose('it was stopped');
    return Promise.resolve();
  }

  disconnect(): void {
    this.lose('it was closed');
  }
}

let keeper: TargetKeeper;
let restored: number;
let errors: string[];
let refusal: Error | undefined;

beforeEach(() => {
  vi.useFakeTimers();
  restored = 0;
  errors = [];
  refusal = undefined;
});
afterEach(async () => {
  const stopping = keeper.stop(false, 0);
  await vi.runAllTimersAsync();
  await stopping;
  vi.useRealTimers();
});

function keep(life: FakeLife): TargetKeeper {
  const all = (): Promise<void> => {
    restored += 1;
    return refusal === undefined ? Promise.resolve() : Promise.reject(refusal);
  };
  keeper = new TargetKeeper({
    life,
    restore: { all } as unknown as Restore,
    clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
    log: {
      info: () => undefined,
      warn: () => undefined,
      error: (_text, fields) => void errors.push(String(fields?.['error'])),
    },
    onReady: () => undefined,
  });
  return keeper;
}

test('an own target that does not start the first time ends the agent', async () => {
  const life = new FakeLife(true);
  life.fault = 'no such file';
  await expect(keep(life).start()).rejects.toMatchObject({ code: 'TARGET_UNAVAILABLE' });
});

test.each([true, false])(
  'an own target that can not be put back ends the agent, which knows whether it ran before: %s',
  async (runs) => {
    const life = new FakeLife(true);
    life.runs = runs;
    refusal = lariatError('TARGET_UNAVAILABLE', 'not answered in 30 s');
    await expect(keep(life).start()).rejects.toBe(refusal);
    expect(keeper.adopted).toBe(runs);
  },
);

test('an own target that is lost is put back; one that keeps dying is started ever more seldom', async () => {
  const life = new FakeLife(true);
  await keep(life).start();
  expect({ ready: keeper.ready, adopted: keeper.adopted, restored }).toEqual({
    ...{ ready: true, adopted: false, restored: 1 },
  });
  life.die('killed');
  await vi.advanceTimersByTimeAsync(0);
  expect({ ready: keeper.ready, restored }).toEqual({ ready: true, restored: 2 });
  for (let deaths = 0; deaths < 10; deaths += 1) {
    life.die('killed');
    await vi.advanceTimersByTimeAsync(5_000);
  }
  const opened = life.opened;
  life.die('killed');
  await vi.advanceTimersByTimeAsync(1_000);
  expect({ opened: life.opened, fault: keeper.fault }).toEqual({ opened, fault: 'killed' });
});

test('a target of others may be away at the start, is told of once, and is put back when it is there', async () => {
  const life = new FakeLife(false);
  life.fault = 'nobody listens';
  await keep(life).start();
  expect({ ready: keeper.ready, fault: keeper.fault }).toEqual({
    ...{ ready: false, fault: 'nobody listens' },
  });
  const refused = keeper.whenReady(1_000);
  const told = refused.catch((reason: unknown) => String(reason));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await told).toContain('which others start, does not answer');
  expect(errors).toEqual(['nobody listens']);
  life.fault = undefined;
  await vi.advanceTimersByTimeAsync(1_000);
  expect({ ready: keeper.ready, adopted: keeper.adopted, restored, fault: keeper.fault }).toEqual({
    ...{ ready: true, adopted: true, restored: 1, fault: undefined },
  });
});
