import { lariatError } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { NoRespondersError } from '@nats-io/nats-core';
import { describe, expect, it } from 'vitest';
import { Refusal } from '../domain/refusal.js';
import type { CallScope } from '../grpc/messages.js';
import { JoiningCluster } from './joining-cluster.js';

const busy = lariatError('OPERATION_IN_PROGRESS', 'busy', { operation: 'op-1' });
const scopeOf = (leftMs: number, signal = new AbortController().signal): CallScope => ({
  ...{ leftMs: () => leftMs, signal },
});

/** Answers in order; the last one again and again. */
function clusterThat(...answers: readonly unknown[]): {
  readonly cluster: JoiningCluster;
  readonly asked: string[];
  readonly ids: string[];
} {
  const asked: string[] = [];
  const ids: string[] = [];
  let next = 0;
  const request = (
    name: string,
    _body: object,
    { requestId }: { requestId: string },
  ): Promise<unknown> => {
    asked.push(name);
    ids.push(requestId);
    if (name === 'operation.wait') return Promise.resolve({});
    const answer = answers[Math.min(next, answers.length - 1)];
    next += 1;
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
  };
  return { cluster: new JoiningCluster({ request } as never), asked, ids };
}

describe('a request for what is being worked on', () => {
  it('waits for the operation and is sent again, as often as another one is first', async () => {
    const { cluster, asked } = clusterThat(busy, busy, { id: 'vol-1' });
    const scope = scopeOf(60_000);
    expect(await cluster.request('volume.get', { volume: 'v' }, scope)).toEqual({ id: 'vol-1' });
    const wait = 'operation.wait';
    expect(asked).toEqual(['volume.get', wait, 'volume.get', wait, 'volume.get']);
  });

  it('ends with it when the time is up', async () => {
    const { cluster, asked } = clusterThat(busy);
    const ended = cluster.request('volume.get', { volume: 'v' }, scopeOf(0));
    await expect(ended).rejects.toThrow('busy');
    expect(asked).toEqual(['volume.get']);
  });

  it('is not sent again for any other reason', async () => {
    const { cluster, asked } = clusterThat(lariatError('NO_CAPACITY', 'full'));
    const ended = cluster.request('volume.get', { volume: 'v' }, scopeOf(60_000));
    expect(toLariatError(await ended.catch((error: unknown) => error)).code).toBe('NO_CAPACITY');
    expect(asked).toHaveLength(1);
  });

  it('is not waited for once its caller has gone', async () => {
    const gone = new AbortController();
    const cluster = new JoiningCluster({ request: () => new Promise(() => undefined) } as never);
    const ended = cluster.request('volume.get', { volume: 'v' }, scopeOf(60_000, gone.signal));
    gone.abort();
    const error = await ended.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Refusal);
    expect((error as Refusal).status).toBe('CANCELLED');
  });
});

describe('a request to what is on its way back', () => {
  const unanswered = lariatError('SERVICE_UNAVAILABLE', 'nobody', {}, new NoRespondersError('x'));
  const volume = { volume: 'v' };

  it('that nobody answered is sent again under its id, so that it is carried out once', async () => {
    const { cluster, ids } = clusterThat(unanswered, { id: 'vol-1' });
    expect(await cluster.request('volume.get', volume, scopeOf(60_000))).toEqual({ id: 'vol-1' });
    expect([ids.length, new Set(ids).size]).toEqual([2, 1]);
  });

  it('that was answered so is made anew, since its id has that answer', async () => {
    const notReady = lariatError('NODE_NOT_READY', 'not yet');
    const { cluster, ids } = clusterThat(notReady, { id: 'vol-1' });
    expect(await cluster.request('volume.get', volume, scopeOf(60_000))).toEqual({ id: 'vol-1' });
    expect([ids.length, new Set(ids).size]).toEqual([2, 2]);
  });

  it('ends with the last answer when the time is up', async () => {
    const { cluster, ids } = clusterThat(unanswered);
    await expect(cluster.request('volume.get', volume, scopeOf(100))).rejects.toThrow('nobody');
    expect(ids).toHaveLength(1);
  });
});
