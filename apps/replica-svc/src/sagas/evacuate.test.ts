import { type VolumeRecord, lariatError } from '@lariat/contracts';
import { type LariatError, toLariatError } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import { attachedVolume, replicaOn } from '../domain/volume.test-support.js';
import { drainNodeSaga } from './drain-node.saga.js';
import type { RebuildDeps } from './rebuild-memory.js';

type Run = (volume: string) => Promise<LariatError | null>;

describe('the drain of a node', () => {
  let volumes: Map<string, VolumeRecord>;
  let duties: string[];
  let begun: string[];
  let underWay: Set<string>;
  let mostUnderWay: number;
  let ends: Map<string, () => void>;
  let run: Run;
  let cancellation: AbortController;
  let images: object[];

  beforeEach(() => {
    volumes = new Map();
    [duties, begun, images] = [[], [], []];
    underWay = new Set();
    mostUnderWay = 0;
    ends = new Map();
    cancellation = new AbortController();
    run = () => Promise.resolve(null);
  });

  const put = (id: string, given: Partial<VolumeRecord> = {}): void => {
    const replicas = [replicaOn(`${id}-here`, 'n1'), replicaOn(`${id}-there`, 'n2')];
    volumes.set(id, attachedVolume({ id, name: id, attachment: null, replicas, ...given }));
  };
  const leave = (id: string): void => {
    const record = volumes.get(id);
    if (record === undefined) return;
    const replicas = record.replicas.filter(({ node }) => node !== 'n1');
    volumes.set(id, { ...record, operation: null, replicas });
  };

  /** A move ends when `run` says so; another operation when `ends` is called. */
  const request = async (name: string, body: Record<string, string>): Promise<unknown> => {
    switch (name) {
      case 'replica.move': {
        const { volume = '' } = body;
        if (underWay.has(volume)) throw lariatError('OPERATION_IN_PROGRESS', 'it is held');
        begun.push(volume);
        underWay.add(volume);
        mostUnderWay = Math.max(mostUnderWay, underWay.size);
        return { operation: { id: `move-${volume}` } };
      }
      case 'operation.wait': {
        const { operation = '' } = body;
        if (!operation.startsWith('move-')) {
          await new Promise<void>((resolve) => ends.set(operation, resolve));
          return { id: operation, state: 'succeeded', error: null };
        }
        const volume = operation.slice('move-'.length);
        const error = await run(volume);
        underWay.delete(volume);
        if (error === null) leave(volume);
        return { id: operation, state: error === null ? 'succeeded' : 'failed', error };
      }
      case 'operation.cancel':
        begun.push(`cancel ${body['operation']}`);
        return {};
      case 'image.list':
        return { images };
      default:
        throw new Error(`${name} is not expected here`);
    }
  };

  const drain = async (atOnce = 1): Promise<object> => {
    const deps = {
      volumes: { list: () => [...volumes.values()], fresh: (id: string) => volumes.get(id) },
      nodes: {
        changeDuty: (_node: string, { event }: { event: string }) => {
          duties.push(event);
          return Promise.resolve();
        },
      },
    };
    let memory = {};
    const context = {
      ...{ input: { node: 'n1', atOnce }, operation: 'op-1', cancellation: cancellation.signal },
      client: { request },
      progress: () => undefined,
      checkpoint: (found: object) => {
        memory = { ...memory, ...found };
        return Promise.resolve();
      },
    };
    for (const step of drainNodeSaga(deps as unknown as RebuildDeps).steps) {
      const found = await step.run({ ...context, memory } as never);
      memory = { ...memory, ...found };
    }
    return memory;
  };

  it('moves all that the node has, as many at once as it may, and ends drained', async () => {
    for (const id of ['a', 'b', 'c', 'd']) put(id);
    run = () => new Promise((resolve) => setTimeout(() => resolve(null), 5));
    expect(await drain(2)).toMatchObject({ movedReplicas: 4, report: { movedReplicas: 4 } });
    expect(mostUnderWay).toBe(2);
    expect(begun).toEqual(['a', 'b', 'c', 'd']);
    expect(duties).toEqual(['drain', 'drained']);
  });

  it('goes on past what can not be moved, tells each reason, and does not end drained', async () => {
    put('a', { replicas: [replicaOn('a-here', 'n1')] });
    put('b');
    put('used', { attachment: { ...attachedVolume().attachment, node: 'n1' } as never });
    run = (id) =>
      Promise.resolve(id === 'a' ? lariatError('NO_CAPACITY', 'There is no room.') : null);
    const error = toLariatError(await drain().catch((reason: unknown) => reason));
    expect(error.code).toBe('DRAIN_INCOMPLETE');
    expect(error.details).toMatchObject({
      movedReplicas: 2,
      remaining: {
        replicas: [
          {
            ...{ name: 'a', replica: 'a-here', code: 'NO_CAPACITY' },
            reason: 'it is the last healthy one: There is no room.',
          },
        ],
        engines: [{ name: 'used' }],
      },
    });
    expect(duties).toEqual(['drain']);
  });

  it('waits for what an operation holds, and moves it then', async () => {
    put('a', { operation: 'op-2' });
    const ended = drain();
    while (ends.size === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(begun).toEqual([]);
    const record = volumes.get('a');
    if (record !== undefined) volumes.set('a', { ...record, operation: null });
    ends.get('op-2')?.();
    expect(await ended).toMatchObject({ movedReplicas: 1 });
  });

  it('is tried again when nobody answers, and takes that for no reason to stay', async () => {
    put('a');
    run = () => Promise.resolve(lariatError('SERVICE_UNAVAILABLE', 'nobody answers'));
    await expect(drain()).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
    run = () => Promise.resolve(null);
    expect(await drain()).toMatchObject({ report: { movedReplicas: 1 } });
  });

  it('cancels the moves that it has begun, and leaves none going on, when it is cancelled', async () => {
    put('a');
    put('b');
    let isEnded = false;
    run = () =>
      new Promise((resolve) => {
        setTimeout(() => cancellation.abort(lariatError('OPERATION_CANCELLED', 'by request')), 5);
        setTimeout(() => {
          isEnded = true;
          resolve(lariatError('OPERATION_CANCELLED', 'by request'));
        }, 20);
      });
    await expect(drain()).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
    expect(isEnded).toBe(true);
    expect(begun).toEqual(['a', 'cancel move-a']);
  });
});
