import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkRegister, findViolations } from './linearizability.js';
import { INITIAL, RegisterHistory, type RegisterOperation } from './register-history.js';

/**
 * A history drawn as in the literature: one line a call, `[` where it begins and `]` where it ends, all lines on one
 * scale of time. `w1[ ]` writes 1, `r1[ ]` reads 1; without a `]` the outcome is unknown.
 */
function history(...lines: readonly string[]): readonly RegisterOperation[] {
  return lines.map((line, index) => {
    const [, kind, value = ''] = /([rw])(\w+)\[/.exec(line) ?? [];
    // Begins before ends where both stand in one column: they overlap.
    const end = line.indexOf(']');
    return {
      id: index + 1,
      kind: kind === 'w' ? 'write' : 'read',
      value: value === 'i' ? INITIAL : value,
      beganAt: line.indexOf('[') * 100 + index,
      endedAt: end === -1 ? null : end * 100 + 50 + index,
      client: `c${index}`,
    };
  });
}

const isGood = (...lines: readonly string[]): boolean =>
  checkRegister(history(...lines)).linearizable;

describe('histories of a register', () => {
  it.each([
    ['nothing at all', []],
    ['the initial value before any write', ['ri[ ]', '      w1[ ]']],
    ['a read after a write', ['w1[ ]', '      r1[ ]']],
    ['a read that overlaps a write sees the old value', ['w1[       ]', '   ri[ ]']],
    ['a read that overlaps a write sees the new value', ['w1[       ]', '   r1[ ]']],
    ['old, then new, during one write', ['w1[            ]', '   ri[ ]', '         r1[ ]']],
    ['two writes at once end in either order', ['w1[    ]', 'w2[    ]', '         r1[ ]']],
    ['two writes at once, both orders are open', ['w1[    ]', 'w2[    ]', '         r2[ ]']],
    ['a write of unknown outcome that happened', ['w1[', '      r1[ ]']],
    ['a write of unknown outcome that did not happen', ['w1[', '      ri[ ]']],
    [
      'a write of unknown outcome that took effect late',
      [
        'w1[',
        '      ri[ ]',
        '            w2[ ]',
        '                  r2[ ]',
        '                        r1[ ]',
      ],
    ],
    [
      'a choice that has to be taken back',
      [
        'w1[              ]',
        'w2[              ]',
        '    r2[ ]',
        '           r1[ ]',
        '                   r1[ ]',
      ],
    ],
  ])('accepts %s', (_name, lines) => {
    expect(isGood(...lines)).toBe(true);
  });

  it.each([
    ['a lost write', ['w1[ ]', '      ri[ ]']],
    ['a lost overwrite', ['w1[ ]', '      w2[ ]', '            r1[ ]']],
    ['a value that nobody wrote', ['w1[ ]', '      r7[ ]']],
    ['a value from the future', ['r1[ ]', '      w1[ ]']],
    ['new, then old, during one write', ['w1[            ]', '   r1[ ]', '         ri[ ]']],
    [
      'two readers that disagree about the order of two writes',
      ['w1[   ]', 'w2[   ]', '        r1[ ]', '              r2[ ]', '                    r1[ ]'],
    ],
    [
      'a write of unknown outcome that happened and was undone again',
      ['w1[', '      r1[ ]', '            ri[ ]'],
    ],
    [
      'a write of unknown outcome that took effect twice',
      [
        'w1[',
        '      r1[ ]',
        '            w2[ ]',
        '                  r2[ ]',
        '                        r1[ ]',
      ],
    ],
    [
      'an acknowledged write that is gone after a failover, though its writer read it before',
      ['w1[ ]', '      r1[ ]', '            ri[ ]'],
    ],
    [
      'a stale replica that is read after another one was',
      ['w1[ ]', '      w2[ ]', '            r2[       ]', '              r1[    ]'],
    ],
  ])('refuses %s', (_name, lines) => {
    expect(isGood(...lines)).toBe(false);
  });

  it('tells which call fits in no order, and what it overlaps', () => {
    const verdict = checkRegister(
      history('w1[ ]', '      w2[ ]', '            r1[ ]', '             w3['),
    );
    expect(verdict).toMatchObject({ linearizable: false, ordered: [1, 2], obstacle: { id: 3 } });
    expect(verdict.linearizable || verdict.around.map(({ id }) => id)).toEqual([3, 4]);
  });
});

/** Every order of every choice of the unknown writes: slow, and so plain that it can be trusted. */
function fitsSomeOrder(left: readonly RegisterOperation[], value: string = INITIAL): boolean {
  if (left.every(({ endedAt }) => endedAt === null)) return true;
  return left.some((operation) => {
    const others = left.filter((other) => other !== operation);
    // Nothing that is left may have ended before this one began.
    if (others.some(({ endedAt }) => endedAt !== null && endedAt < operation.beganAt)) return false;
    if (operation.kind === 'write') return fitsSomeOrder(others, operation.value);
    return operation.value === value && fitsSomeOrder(others, value);
  });
}

interface Drawn {
  readonly kind: 'read' | 'write';
  readonly value: string;
  readonly known: boolean;
}

const drawn: fc.Arbitrary<Drawn> = fc.record({
  kind: fc.constantFrom('read' as const, 'write' as const),
  value: fc.constantFrom(INITIAL, '1', '2', '3'),
  known: fc.boolean(),
});

/** Calls with their begins and ends shuffled: each call's two places in the shuffled order, the smaller one first. */
const anyHistory: fc.Arbitrary<readonly RegisterOperation[]> = fc
  .array(drawn, { maxLength: 6 })
  .chain((calls) =>
    fc
      .shuffledSubarray(
        calls.flatMap((_, index) => [index, index]),
        { minLength: 2 * calls.length, maxLength: 2 * calls.length },
      )
      .map((places) =>
        calls.map(({ kind, value, known }, index): RegisterOperation => {
          const isKnown = known || kind === 'read';
          const endedAt = isKnown ? places.lastIndexOf(index) : null;
          const written = kind === 'write' && value === INITIAL ? '1' : value;
          return {
            id: index,
            kind,
            value: written,
            beganAt: places.indexOf(index),
            endedAt,
            client: '',
          };
        }),
      ),
  );

describe('the search', () => {
  it('agrees with one that tries every order', () => {
    let good = 0;
    fc.assert(
      fc.property(anyHistory, (operations) => {
        const expected = fitsSomeOrder(operations);
        if (expected) good += 1;
        expect(checkRegister(operations).linearizable).toBe(expected);
      }),
      { numRuns: 5_000 },
    );
    // Both verdicts must have been given often, or the agreement says nothing.
    expect(good).toBeGreaterThan(500);
    expect(good).toBeLessThan(4_500);
  });

  it('decides long histories of many writers with unknown outcomes soon', () => {
    const operations: RegisterOperation[] = [];
    let at = 0;
    const add = (kind: 'read' | 'write', value: string, known: boolean, spans: number): void => {
      at += 10;
      operations.push({
        id: operations.length,
        kind,
        value,
        beganAt: at,
        endedAt: known ? at + spans : null,
        client: '',
      });
    };
    for (let round = 0; round < 500; round += 1) {
      add('write', `lost-${round}`, false, 0);
      add('write', `kept-${round}`, true, 35);
      add('write', `late-${round}`, false, 0);
      add('read', round % 3 === 0 ? `late-${round}` : `kept-${round}`, true, 15);
    }
    const beganMs = performance.now();
    expect(checkRegister(operations).linearizable).toBe(true);
    add('read', 'kept-7', true, 5);
    expect(checkRegister(operations).linearizable).toBe(false);
    expect(performance.now() - beganMs).toBeLessThan(10_000);
  });
});

describe('a recorded history', () => {
  it('keeps registers apart, failed writes as unknown, and failed reads not at all', async () => {
    const recorded = new RegisterHistory();
    const fail = (): Promise<never> => Promise.reject(new Error('EIO'));
    await recorded.write('a', 1, 'x', () => Promise.resolve());
    await expect(recorded.write('a', 1, 'y', fail)).rejects.toThrow('EIO');
    await expect(recorded.read('b', 1, fail)).rejects.toThrow('EIO');
    await recorded.read('b', 1, () => Promise.resolve('y'));
    await recorded.read('b', 2, () => Promise.resolve(INITIAL));
    expect(recorded.operations().get(1)).toMatchObject([
      { kind: 'write', value: 'x', beganAt: 1, endedAt: 2 },
      { kind: 'write', value: 'y', beganAt: 3, endedAt: null },
      { kind: 'read', value: 'y', beganAt: 5, endedAt: 6 },
    ]);
    expect([...findViolations(recorded.operations()).keys()]).toEqual([]);
    await recorded.read('b', 2, () => Promise.resolve('x'));
    expect([...findViolations(recorded.operations()).keys()]).toEqual([2]);
  });

  it('numbers calls at the same time so that they overlap', async () => {
    const recorded = new RegisterHistory();
    let release: (() => void) | undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const writing = recorded.write('a', 0, 'x', () => held);
    expect(await recorded.read('b', 0, () => Promise.resolve(INITIAL))).toBe(INITIAL);
    expect(recorded.operations().get(0)).toMatchObject([{ kind: 'write', endedAt: null }, {}]);
    release?.();
    await writing;
    expect(recorded.operations().get(0)).toMatchObject([
      { kind: 'write', beganAt: 1, endedAt: 4 },
      { kind: 'read', beganAt: 2, endedAt: 3 },
    ]);
  });
});
