import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs, delay, withDeadline } from './deadline.js';
import { LariatError, isErrorRecord, isRetryable, toLariatError } from './errors.js';
import { deriveUuid, deriveVolumeId, isDnsLabel, isLariatId, newVolumeId } from './ids.js';
import { KeyedQueue } from './keyed-queue.js';
import { IllegalTransition, defineStateMachine, toMermaid } from './state-table.js';
import { CLUSTER_SIZE_BYTES, formatBytes, parseSizeBytes, roundUpToCluster } from './units.js';

describe('errors', () => {
  it('cross a process boundary as records and come back the same', () => {
    const error = new LariatError({
      kind: 'conflict',
      code: 'X_TAKEN',
      message: 'taken',
      details: { a: 1 },
    });
    const record: unknown = JSON.parse(JSON.stringify(error.toRecord()));
    expect(isErrorRecord(record)).toBe(true);
    expect(LariatError.fromRecord(error.toRecord())).toMatchObject({
      kind: 'conflict',
      code: 'X_TAKEN',
      details: { a: 1 },
    });
  });

  it('are internal when they are nobody’s, and keep their cause', () => {
    const cause = new TypeError('oops');
    expect(toLariatError(cause)).toMatchObject({
      kind: 'internal',
      code: 'INTERNAL',
      message: 'oops',
      cause,
    });
    expect(toLariatError('text')).toMatchObject({ kind: 'internal', message: 'text' });
  });

  it('are retried only when the same call may succeed later', () => {
    const retried = [
      'invalid',
      'not_found',
      'conflict',
      'precondition',
      'unavailable',
      'timeout',
      'internal',
    ] as const;
    expect(retried.filter(isRetryable)).toEqual(['conflict', 'unavailable', 'timeout']);
  });

  it.each([
    null,
    1,
    {},
    { code: 'A', kind: 'strange', message: '' },
    { code: 1, kind: 'invalid', message: '' },
  ])('does not take %j for a record', (value) => expect(isErrorRecord(value)).toBe(false));
});

describe('ids', () => {
  it('are short, of one shape, and never twice the same', () => {
    const ids = Array.from({ length: 1000 }, () => newVolumeId());
    expect(new Set(ids).size).toBe(1000);
    expect(ids.every(isLariatId)).toBe(true);
    expect(ids.every((id) => id.length === 16)).toBe(true);
  });

  it('follow from their seed alone', () => {
    expect(deriveVolumeId('op-1', 'a')).toBe(deriveVolumeId('op-1', 'a'));
    expect(deriveVolumeId('op-1', 'a')).not.toBe(deriveVolumeId('op-1', 'b'));
    // The parts are told apart, not glued together.
    expect(deriveVolumeId('ab', 'c')).not.toBe(deriveVolumeId('a', 'bc'));
    expect(deriveUuid('x')).toMatch(
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
  });

  it.each([
    ['a', true],
    ['a-1', true],
    ['x'.repeat(63), true],
    ['', false],
    ['x'.repeat(64), false],
    ['-a', false],
    ['a-', false],
    ['A', false],
    ['a.b', false],
    ['a b', false],
  ])('takes %j for a DNS label: %s', (text, expected) => expect(isDnsLabel(text)).toBe(expected));
});

describe('sizes', () => {
  it.each([
    ['256MiB', 256 * 1024 ** 2],
    ['256M', 256 * 1024 ** 2],
    ['1.5g', 1.5 * 1024 ** 3],
    ['1048576', 1048576],
    ['10 kib', 10240],
    ['0', 0],
    ['-1', undefined],
    ['1.1', undefined],
    ['', undefined],
    ['12x', undefined],
  ])('reads %j', (text, bytes) => expect(parseSizeBytes(text)).toBe(bytes));

  it('are rounded up to whole clusters', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 45 }), (bytes) => {
        const rounded = roundUpToCluster(bytes);
        expect(rounded % CLUSTER_SIZE_BYTES).toBe(0);
        expect(rounded - bytes).toBeGreaterThanOrEqual(0);
        expect(rounded - bytes).toBeLessThan(CLUSTER_SIZE_BYTES);
      }),
    );
  });

  it('are shown with at most one decimal', () => {
    expect([1, 1024, 1536, 256 * 1024 ** 2].map(formatBytes)).toEqual([
      '1 B',
      '1 KiB',
      '1.5 KiB',
      '256 MiB',
    ]);
  });
});

describe('a state machine', () => {
  const machine = defineStateMachine<'off' | 'on', 'press' | 'break'>('lamp', {
    off: { press: 'on' },
    on: { press: 'off' },
  });

  it('moves as its table says and names what is allowed', () => {
    expect(machine.next('off', 'press')).toBe('on');
    expect(machine.can('off', 'break')).toBe(false);
    expect(() => machine.next('off', 'break')).toThrow(IllegalTransition);
    expect(() => machine.next('off', 'break')).toThrow(
      "lamp: 'break' is not allowed in state 'off' (allowed: press)",
    );
  });

  it('draws itself', () =>
    expect(toMermaid(machine)).toBe(
      'stateDiagram-v2\n    off --> on: press\n    on --> off: press\n',
    ));
});

describe('deadlines', () => {
  it('give the outcome, or say that it is not known', async () => {
    await expect(withDeadline('work', 1000, Promise.resolve(1))).resolves.toBe(1);
    await expect(withDeadline('work', 5, new Promise(() => undefined))).rejects.toMatchObject({
      kind: 'timeout',
    });
  });

  it('end a delay at once when it is aborted', async () => {
    const abort = new AbortController();
    const waiting = delay(60_000, abort.signal);
    abort.abort();
    await expect(waiting).resolves.toBeUndefined();
  });

  it('keep backoff within its bounds', () => {
    const backoff = { initialMs: 100, maxMs: 2000, factor: 2 };
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (attempt, random) => {
          const ms = backoffMs(backoff, attempt, () => random);
          expect(ms).toBeGreaterThanOrEqual(50);
          expect(ms).toBeLessThanOrEqual(2000);
        },
      ),
    );
  });
});

describe('a keyed queue', () => {
  it('keeps the order of a key, lets keys overlap, and survives failures', async () => {
    const queue = new KeyedQueue();
    const seen: string[] = [];
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const first = queue.run('a', async () => {
      await held;
      seen.push('a1');
      throw new Error('a1 fails');
    });
    const second = queue.run('a', async () => seen.push('a2'));
    await queue.run('b', async () => seen.push('b1'));
    expect(seen).toEqual(['b1']);
    release();
    await expect(first).rejects.toThrow('a1 fails');
    await second;
    await queue.idle();
    expect(seen).toEqual(['b1', 'a1', 'a2']);
  });
});
