import { LariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { formatDuration } from './durations.js';
import { formatError, Printer } from './printer.js';
import { formatAmount, formatBar, ProgressLine } from './progress.js';
import { formatFields, formatTable } from './table.js';
import { formatTrace } from './trace-tree.js';
import { nodeDetails, operationDetails, rebuiltDetails, volumeDetails } from './views.js';

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

describe('a node', () => {
  it('says how volumes can be used on it, and what is missing for the rest', () => {
    const details = nodeDetails({
      ...{ name: 'n1', state: 'ready', reason: 'heartbeats arrive', since: 'today' },
      ...{ schedulable: true, duty: 'open', zone: 'z', labels: {}, tags: [], disks: [] },
      ...{ traddr: '10.0.0.1', trsvcid: '4420', target: 'soft-target' },
      ...{ agentVersion: '1', agentInstance: 'i' },
      frontends: [
        { frontend: 'nvmf', available: true, reason: null },
        { frontend: 'nbd', available: true, reason: null },
        { frontend: 'kernel', available: false, reason: 'nvme is not installed' },
      ],
    });
    expect(details).toMatch(/^frontends: +nvmf, nbd$/m);
    expect(details).toMatch(/^no 'kernel': +nvme is not installed$/m);
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

describe('an error of placement', () => {
  const error = new LariatError({
    kind: 'precondition',
    code: 'NO_CAPACITY',
    message: 'There is room for 1 of 2 replica(s). n1/d1: full; n2/d1: would take 1.',
    details: {
      summary: 'There is room for 1 of 2 replica(s).',
      wanted: 2,
      placed: 1,
      sizeBytes: 1024,
      omittedDisks: 3,
      obstacles: { 'no-room': 1 },
      disks: [
        {
          node: 'n1',
          disk: 'disk-1',
          name: 'd1',
          zone: 'a',
          freeBytes: 0,
          chosen: 0,
          reasons: [
            { obstacle: 'node-cordoned', message: 'its node is cordoned' },
            { obstacle: 'no-room', message: '0 B free, 1 KiB needed' },
          ],
        },
        {
          node: 'node-2',
          disk: 'disk-2',
          name: 'd1',
          zone: 'a',
          freeBytes: 2048,
          chosen: 1,
          reasons: [],
        },
      ],
    },
  });
  it('shows a line a disk instead of one long message', () => {
    expect(formatError(error, undefined).split('\n')).toEqual([
      'error: There is room for 1 of 2 replica(s).',
      'code:  NO_CAPACITY (precondition)',
      '',
      'NODE    DISK  ZONE   FREE  TAKES  WHY NO MORE',
      'n1      d1    a       0 B      0  its node is cordoned; 0 B free, 1 KiB needed',
      'node-2  d1    a     2 KiB      1  -',
      'and 3 more disk(s)',
    ]);
  });
  it('is as readable in the operation that failed of it', () => {
    const operation = {
      id: 'op-1',
      kind: 'volume.create',
      subject: 'volume-name/x',
      state: 'failed',
      step: 'place',
      attempt: 1,
      cancellable: false,
      waitingFor: null,
      node: null,
      since: '',
      progress: null,
      lastError: null,
      nextTryAt: null,
      result: null,
      error: error.toRecord(),
      traceId: 't',
      startedAt: '',
      endedAt: '',
    } as const;
    const lines = operationDetails(operation).split('\n');
    expect(lines.join('\n')).toMatch(
      /^error: +NO_CAPACITY: There is room for 1 of 2 replica\(s\)\.$/m,
    );
    expect(lines.slice(-4)[0]).toMatch(/^NODE +DISK +ZONE/);
    expect(lines.at(-1)).toBe('and 3 more disk(s)');
  });
  it('keeps all data for a program', () => {
    const [out, err] = [sink(false), sink(false)];
    new Printer({ stdout: out, stderr: err }, true).fail(error);
    expect(JSON.parse(out.text())).toMatchObject({
      error: { details: { disks: [{ node: 'n1' }, {}] } },
    });
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

describe('a volume', () => {
  const volume = {
    ...{ id: 'vol-1', name: 'v1', sizeBytes: 2 ** 30, replicaCount: 2, state: 'detached' as const },
    ...{ content: { state: 'blank' as const }, labels: {}, createdAt: '2026-11-21T00:00:00.000Z' },
    ...{ image: null, attachment: null, operation: null, source: null, clones: [] },
    ...{ robustness: 'healthy' as const, replicas: [] },
    placement: {
      ...{ node: 'hard' as const, zone: 'soft' as const, disk: 'soft' as const },
      ...{ nodeTags: [], diskTags: [] },
    },
    qos: { rwIops: null, rwMbps: null, readMbps: null, writeMbps: null },
  };
  const rebuilt = { replica: 'rep-1', node: 'n2', keptSnapshots: 3, copiedBytes: 5 * 1024 ** 2 };

  it.each([
    [true, 'rep-1 on n2 was brought up to date: 3 of its snapshots kept, 5 MiB copied'],
    [false, 'rep-1 was made on n2: 5 MiB copied'],
  ])('shows what a rebuild of it has done (reused: %s)', (reused, text) => {
    const lines = rebuiltDetails({ ...volume, rebuilt: { ...rebuilt, reused } }).split('\n');
    expect(lines).toContainEqual(expect.stringMatching(/^name: +v1$/));
    expect(lines.at(-1)).toBe(text);
  });

  it('shows the image that it was made from', () => {
    const lines = volumeDetails({ ...volume, image: 'img-1' }).split('\n');
    expect(lines).toContainEqual(expect.stringMatching(/^image: +img-1$/));
  });
});
