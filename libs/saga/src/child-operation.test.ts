import { type ErrorCode, lariatError } from '@lariat/contracts';
import type { LariatClient } from '@lariat/messaging';
import { describe, expect, it } from 'vitest';
import { endOperation, outcomeOf } from './child-operation.js';

/** A service that answers as told, one answer after the other, the last one again and again. */
function serviceOf(answers: Readonly<Record<string, readonly (ErrorCode | object)[]>>): {
  readonly client: LariatClient;
  readonly asked: string[];
} {
  const asked: string[] = [];
  const left = new Map(Object.entries(answers).map(([name, list]) => [name, [...list]]));
  const request = async (name: string): Promise<unknown> => {
    await Promise.resolve();
    asked.push(name);
    const list = left.get(name) ?? [];
    const answer = list.length > 1 ? list.shift() : list[0];
    if (typeof answer === 'string') throw lariatError(answer as ErrorCode, 'as the test says');
    return answer;
  };
  return { client: { request } as unknown as LariatClient, asked };
}

const RUNNING = { id: 'op-1', state: 'running', error: null };
const DONE = { id: 'op-1', state: 'succeeded', error: null };
const FAILED = {
  ...{ id: 'op-1', state: 'failed' },
  error: lariatError('VOLUME_FAULTED', 'as the test says').toRecord(),
};
const caller = { cancellation: new AbortController().signal, waitsOn: () => undefined };

describe('an operation that another one has begun', () => {
  it('is waited for, however long it takes and whoever of its service dies meanwhile', async () => {
    const { client, asked } = serviceOf({
      'operation.wait': [RUNNING, 'DEADLINE_EXCEEDED', 'SERVICE_UNAVAILABLE', DONE],
    });
    await outcomeOf({ ...caller, client }, { operation: RUNNING });
    expect(asked.filter((name) => name === 'operation.wait')).toHaveLength(4);
  });

  it('lends the node that keeps it waiting to who waits for it', async () => {
    const { client } = serviceOf({
      'operation.wait': ['DEADLINE_EXCEEDED', 'DEADLINE_EXCEEDED', DONE],
      'operation.get': [
        { ...RUNNING, node: 'n3' },
        { ...RUNNING, node: null },
      ],
    });
    const named: (string | null)[] = [];
    const waitsOn = (node: string | null): number => named.push(node);
    await outcomeOf({ ...caller, client, waitsOn }, { operation: RUNNING });
    expect(named).toEqual(['n3', null, null]);
  });

  it('tells its failure', async () => {
    const { client } = serviceOf({ 'operation.wait': [FAILED] });
    await expect(outcomeOf({ ...caller, client }, { operation: RUNNING })).rejects.toMatchObject({
      code: 'VOLUME_FAULTED',
    });
  });

  it('is cancelled with who waits for it, and has ended then', async () => {
    const stop = new AbortController();
    stop.abort(lariatError('OPERATION_CANCELLED', 'as the test says'));
    const { client, asked } = serviceOf({ 'operation.wait': [DONE], 'operation.cancel': [{}] });
    await expect(
      outcomeOf({ ...caller, client, cancellation: stop.signal }, { operation: RUNNING }),
    ).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
    expect(asked).toEqual(['operation.wait', 'operation.cancel']);
  });

  it.each([
    ['is not there', ['OPERATION_NOT_FOUND'], ['operation.get']],
    ['has ended', [FAILED], ['operation.get']],
    ['runs', [RUNNING], ['operation.get', 'operation.cancel', 'operation.wait']],
  ] as const)('that %s is ended by an undo', async (_name, found, wanted) => {
    const { client, asked } = serviceOf({
      ...{ 'operation.get': found, 'operation.wait': [FAILED] },
      // It may be past that: then its end is waited for.
      'operation.cancel': ['OPERATION_NOT_CANCELLABLE'],
    });
    await endOperation(client, 'op-1');
    expect(asked).toEqual(wanted);
  });
});
