import { type ErrorCode, lariatError } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StepContext } from './definition.js';
import { FETCH_IMAGE_RETRY, fetchImage, tryFetchImage } from './image-copies.js';

const request = {
  ...{ image: 'img-1', volume: 'vol-1' },
  disks: ['n1', 'n2'].map((node) => ({ node, disk: `disk-of-${node}` })),
};

describe('copies of an image that replicas are to stand on', () => {
  /** What each request for them meets; the last one goes on for ever. */
  let meets: (ErrorCode | 'ready')[];
  let nodeState: 'ready' | 'down';
  let shown: string[];
  let cancellation: AbortController;
  let asked: number;

  beforeEach(() => {
    vi.useFakeTimers();
    meets = ['ready'];
    nodeState = 'ready';
    shown = [];
    cancellation = new AbortController();
    asked = 0;
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const answers: Readonly<Record<string, () => unknown>> = {
    'node.get': () => ({ state: nodeState }),
    'internal.image.record': () => ({ copies: [{ disk: 'disk-of-n2', state: 'ready' }] }),
    'internal.image.ensure-copies': () => {
      asked += 1;
      const met = meets.length > 1 ? meets.shift() : meets[0];
      if (met === 'ready' || met === undefined) return { ready: true };
      throw lariatError(met, 'as the test says');
    },
  };
  const context = (attempt = 1): StepContext<unknown, unknown> =>
    ({
      ...{ operation: 'op-1', attempt, cancellation: cancellation.signal },
      client: { request: (name: string) => Promise.resolve().then(() => answers[name]?.()) },
      progress: (done: number, total: number, unit: string) =>
        shown.push(`${done}/${total} ${unit}`),
      log: { warn: () => undefined, info: () => undefined },
    }) as unknown as StepContext<unknown, unknown>;

  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'ok',
      (error: unknown) => toLariatError(error).code,
    );

  it('are asked for until they are there, and what is there meanwhile is shown', async () => {
    meets = ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED', 'ready'];
    const outcome = codeOf(fetchImage(context(), request));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await outcome).toBe('ok');
    expect(asked).toBe(3);
    expect(shown).toEqual(['1/2 copies of the image', '1/2 copies of the image']);
  });

  it('are not waited for when a node that was to get one is declared gone', async () => {
    meets = ['DEADLINE_EXCEEDED'];
    const outcome = codeOf(fetchImage(context(), request));
    await vi.advanceTimersByTimeAsync(2_000);
    nodeState = 'down';
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await outcome).toBe('NODE_NOT_READY');
    const askedByThen = asked;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(askedByThen);
  });

  it('are not waited for by what is cancelled', async () => {
    meets = ['DEADLINE_EXCEEDED'];
    const outcome = codeOf(fetchImage(context(), request));
    await vi.advanceTimersByTimeAsync(100);
    cancellation.abort(lariatError('OPERATION_CANCELLED', 'not wanted'));
    expect(await outcome).toBe('OPERATION_CANCELLED');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each(['IMAGE_NOT_FOUND', 'IMAGE_NOT_READY', 'IMAGE_COPY_FAILED', 'NO_CAPACITY'] as const)(
    'are done without where that is possible, when they are refused with %s',
    async (code) => {
      meets = [code];
      expect(await codeOf(fetchImage(context(), request))).toBe(code);
      expect(await tryFetchImage(context(), request)).toMatchObject({ code });
    },
  );

  it('are done without when nobody answers, but not before that was tried for a while', async () => {
    meets = ['SERVICE_UNAVAILABLE'];
    expect(await codeOf(tryFetchImage(context(), request))).toBe('SERVICE_UNAVAILABLE');
    const last = context(FETCH_IMAGE_RETRY.attempts);
    expect(await tryFetchImage(last, request)).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  });

  it('are not done without for any other reason', async () => {
    meets = ['REQUEST_INVALID'];
    expect(await codeOf(tryFetchImage(context(), request))).toBe('REQUEST_INVALID');
    meets = ['ready'];
    expect(await tryFetchImage(context(), request)).toBeUndefined();
  });
});
