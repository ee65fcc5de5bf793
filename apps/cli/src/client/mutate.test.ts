import type { OperationView } from '@lariat/contracts';
import { LariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { clusterPaths } from '../cluster/paths.js';
import type { CommandContext } from '../context.js';
import { Interruption } from '../interruption.js';
import { Printer } from '../output/printer.js';
import { mutate } from './mutate.js';
import type { Session } from './session.js';

const running: OperationView = {
  id: 'op-000000000001',
  kind: 'volume.create',
  subject: 'volume/x',
  state: 'running',
  step: 'place',
  attempt: 1,
  cancellable: true,
  waitingFor: 'a node',
  node: 'n1',
  since: '2026-01-01T00:00:00.000Z',
  progress: { done: 1, total: 2, unit: 'clusters' },
  lastError: null,
  nextTryAt: null,
  result: null,
  error: null,
  traceId: 'abc',
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: null,
};

/** A service that answers each request with the next of `answers`. */
function setUp(isTTY: boolean, answers: readonly unknown[], timeoutMs = 5_000) {
  const sent: unknown[] = [];
  const left = [...answers];
  let shown = '';
  const stderr = {
    isTTY,
    columns: 200,
    write: (text: string) => {
      shown += text;
    },
  };
  const context: CommandContext = {
    printer: new Printer({ stdout: { write: () => true }, stderr }, false),
    paths: clusterPaths('/nowhere'),
    natsUrl: undefined,
    verbose: false,
    timeoutMs,
    interruption: new Interruption(() => undefined),
  };
  const session = {
    traceId: 't',
    request: (name: string, body: object) => {
      sent.push({ request: name, body });
      return Promise.resolve(left.length > 1 ? left.shift() : left[0]);
    },
  } as unknown as Session;
  const create = (wait: boolean) =>
    mutate(context, session, 'volume.create', { name: 'x', sizeBytes: 1 }, wait);
  return { sent, create, shown: () => shown };
}

describe('a change', () => {
  it('is waited for by the service when nobody watches', async () => {
    const { sent, create } = setUp(false, [{ name: 'x' }]);
    expect(await create(true)).toEqual({ done: true, reply: { name: 'x' } });
    expect(sent).toEqual([{ request: 'volume.create', body: { name: 'x', sizeBytes: 1 } }]);
  });

  it('is followed step by step on a terminal, and its result is the answer', async () => {
    const done = { ...running, state: 'succeeded', result: { name: 'x' } };
    const { sent, create, shown } = setUp(true, [{ operation: running }, running, done]);
    expect(await create(true)).toEqual({ done: true, reply: { name: 'x' } });
    expect(sent.slice(1)).toEqual([
      { request: 'operation.get', body: { operation: running.id } },
      { request: 'operation.get', body: { operation: running.id } },
    ]);
    expect(sent[0]).toMatchObject({ body: { wait: false } });
    expect(shown()).toContain(
      '50 %  1 MiB of 2 MiB  volume.create: place on n1 waiting for a node',
    );
  });

  it('that is not waited for is answered with its operation', async () => {
    const { create } = setUp(false, [{ operation: running }]);
    expect(await create(false)).toEqual({ done: false, operation: running });
  });

  it('that failed throws the operation’s own error, with its trace', async () => {
    const error = { code: 'NO_CAPACITY', kind: 'precondition', message: 'full' };
    const failed = { ...running, state: 'failed', error };
    const { create } = setUp(true, [{ operation: running }, failed]);
    const thrown = await create(true).catch((reason: unknown) => reason);
    expect(thrown).toBeInstanceOf(LariatError);
    expect(thrown).toMatchObject({
      code: 'NO_CAPACITY',
      kind: 'precondition',
      details: { operation: running.id, traceId: 'abc' },
    });
  });

  it('that takes too long says where it is, and how to go on waiting', async () => {
    const { create } = setUp(true, [{ operation: running }, running], 1);
    await expect(create(true)).rejects.toMatchObject({
      kind: 'timeout',
      message: expect.stringMatching(/step 'place', waiting for a node.*lariat operation wait op-/),
    });
  });
});
