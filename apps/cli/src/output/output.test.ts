import { LariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { formatDuration } from './durations.js';
import { formatError, Printer } from './printer.js';
import { formatAmount, formatBar, ProgressLine } from './progress.js';
import { formatFields, formatTable } from './table.js';
import { formatTrace } from './trace-tree.js';

const sink = (isTTY: boolean) => {
  let text = '';
  return {
    isTTY,
    columns: 60,
    write: (part: string) => {
      text += part;
    },
    text: () => text,
  };
};

describe('a table', () => {
  it('aligns its columns and shows what is missing as -', () => {
    const table = formatTable<readonly [string, string]>(
      [
        { title: 'NAME', value: ([name]) => name },
        { title: 'SIZE', align: 'right', value: ([, size]) => size },
      ],
      [
        ['a', '10 GiB'],
        ['longer', ''],
      ],
    );
    expect(table.split('\n')).toEqual(['NAME      SIZE', 'a       10 GiB', 'longer       -']);
  });
  it('lets no control character through to the terminal', () => {
    expect(formatFields([['name', 'a\u001b[31m\nb']])).toBe('name: a?[31m?b');
  });
});

describe('a duration', () => {
  it.each([
    [0.4, '0.4 ms'],
    [345, '345 ms'],
    [3_400, '3.4 s'],
    [125_000, '2 min 5 s'],
    [12_000_000, '3 h 20 min'],
    [349_200_000, '4 d 1 h'],
  ])('of %d ms is %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

describe('progress', () => {
  it('has a bar between empty and full', () => {
    expect(formatBar(0, 4)).toBe('░░░░');
    expect(formatBar(0.5, 4)).toBe('██░░');
    expect(formatBar(1, 4)).toBe('████');
  });
  it('counts in the unit of the work', () => {
    expect(formatAmount({ done: 1, total: 4, unit: 'clusters' })).toBe('1 MiB of 4 MiB');
    expect(formatAmount({ done: 512, total: 1024, unit: 'bytes' })).toBe('512 B of 1 KiB');
    expect(formatAmount({ done: 1, total: 2, unit: 'steps' })).toBe('1 of 2 steps');
  });
  it('is one line on a terminal, never wider than it', () => {
    const terminal = sink(true);
    const line = new ProgressLine(terminal);
    line.show('a label that is far too long for a terminal of this width', {
      done: 1,
      total: 2,
      unit: 'bytes',
    });
    line.clear();
    const drawn = terminal.text().split('\r\u001b[2K');
    expect(drawn[1]?.length).toBeLessThan(60);
    expect(drawn[1]).toContain(' 50 %');
    expect(terminal.text().endsWith('\r\u001b[2K')).toBe(true);
  });
  it('is a few plain lines elsewhere', () => {
    const file = sink(false);
    const line = new ProgressLine(file);
    for (let done = 0; done <= 100; done += 1) {
      line.show('rebuild', { done, total: 100, unit: 'bytes' });
    }
    const lines = file.text().trim().split('\n');
    expect(lines).toHaveLength(11);
    expect(lines[5]).toBe('rebuild: 50 % (50 B of 100 B)');
    expect(file.text()).not.toContain('\r');
  });
});

describe('an error', () => {
  const error = new LariatError({
    kind: 'not_found',
    code: 'VOLUME_NOT_FOUND',
    message: "There is no volume 'x'. See 'lariat volume list'.",
    details: { traceId: 'abc' },
  });
  it('shows its code, what to do, and its trace', () => {
    expect(formatError(error, 'abc').split('\n')).toEqual([
      "error: There is no volume 'x'. See 'lariat volume list'.",
      'code:  VOLUME_NOT_FOUND (not_found)',
      'trace: lariat trace abc',
    ]);
  });
  it('is one JSON document with --json, and decides the exit code', () => {
    const stdout = sink(false);
    const code = new Printer({ stdout, stderr: sink(false) }, true).fail(error);
    expect(code).toBe(3);
    expect(JSON.parse(stdout.text())).toEqual({
      error: {
        code: 'VOLUME_NOT_FOUND',
        kind: 'not_found',
        message: error.message,
        details: { traceId: 'abc' },
        traceId: 'abc',
      },
    });
  });
});

describe('a trace', () => {
  const span = (spanId: string, parentSpanId: string | null, name: string, startMs: number) => ({
    traceId: 't',
    spanId,
    parentSpanId,
    name,
    kind: 'internal' as const,
    service: 'svc',
    instance: 'i',
    startMs,
    durationMs: 2,
    error: null,
    attributes: {},
    links: [],
  });
  it('is drawn with children under their parents, in order of start', () => {
    const text = formatTrace([
      { ...span('c', 'a', 'second', 1_010), error: 'it failed' },
      span('b', 'a', 'first', 1_005),
      span('d', 'b', 'below', 1_006),
      span('a', null, 'root', 1_000),
      span('x', 'gone', 'lost', 1_020),
    ]);
    expect(text.split('\n').map((line) => line.trimEnd())).toEqual([
      'root         +0.0 ms  2.0 ms  svc',
      '├─ first     +5.0 ms  2.0 ms  svc',
      '│  └─ below  +6.0 ms  2.0 ms  svc',
      '└─ ✗ second   +10 ms  2.0 ms  svc  it failed',
      'lost          +20 ms  2.0 ms  svc  (its parent is not kept)',
    ]);
  });
});
