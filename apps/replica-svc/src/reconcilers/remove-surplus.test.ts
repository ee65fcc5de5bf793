import type { NodeRecord, VolumeRecord } from '@lariat/contracts';
import { lariatError } from '@lariat/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { ReconcileCounts } from '@lariat/kernel';
import { surplusReplica } from '../domain/surplus.js';
import { attachedVolume, readyNode, replicaOn } from '../domain/volume.test-support.js';
import { type RemoveSurplusDeps, removeDue } from './remove-surplus.js';

const nodes = (given: Readonly<Record<string, Partial<NodeRecord>>> = {}): readonly NodeRecord[] =>
  ['n1', 'n2', 'n3'].map((name) => readyNode(name, given[name]));
const replicas = [replicaOn('r1', 'n1'), replicaOn('r2', 'n2'), replicaOn('r3', 'n3')];
/** As a move leaves it whose members were all gone: the old one counts again beside the new one. */
const tooMany = attachedVolume({ replicaCount: 2, replicas });
const failed = { mode: 'ERR', state: 'faulted' } as const;

describe('the replica that a volume has too many', () => {
  it('is the one on a node that is to be emptied, or that does not count', () => {
    expect(surplusReplica(tooMany, nodes({ n2: { schedulable: false } }))?.id).toBe('r2');
    const given = { ...tooMany, replicas: [replicaOn('r1', 'n1', failed), ...replicas.slice(1)] };
    expect(surplusReplica(given, nodes())?.id).toBe('r1');
  });

  it.each<[string, Partial<VolumeRecord>]>([
    ['it has as many as it is to have', { replicaCount: 3 }],
    ['an operation holds it', { operation: 'op' }],
    ['it is in doubt', { inDoubt: ['set back'] }],
    ['it is being attached', { state: 'attaching' }],
    ['the others are too few', { replicas: replicas.map((one) => ({ ...one, ...failed })) }],
  ])('is nobody when %s', (_, given) => {
    expect(surplusReplica({ ...tooMany, ...given }, nodes())).toBeUndefined();
  });

  it('is nobody while too few of the others are on ready nodes', () => {
    expect(surplusReplica(tooMany, nodes({ n2: { state: 'down' } }))?.id).toBe('r2');
    const two = nodes({ n2: { state: 'down' }, n3: { state: 'suspect' } });
    expect(surplusReplica(tooMany, two)).toBeUndefined();
  });
});

describe('a volume that has had too many for a while', () => {
  let asked: object[];
  let running: { subject: string }[];
  let stored: VolumeRecord | undefined;
  let nowMs: number;
  let refuses: boolean;
  let sinceMs: Map<string, number>;

  beforeEach(() => {
    asked = [];
    running = [];
    stored = tooMany;
    nowMs = 1_000;
    refuses = false;
    sinceMs = new Map();
  });

  const round = async (afterMs: number, cached = tooMany): Promise<readonly object[]> => {
    nowMs += afterMs;
    asked = [];
    const deps = {
      volumes: { list: () => [cached], fresh: () => Promise.resolve(stored) },
      nodes: { list: () => nodes() },
      running: () => running,
      client: {
        request: (name: string, body: object) => {
          asked.push({ name, ...body });
          return refuses
            ? Promise.reject(lariatError('OPERATION_IN_PROGRESS', 'busy'))
            : Promise.resolve({});
        },
      },
      clock: { monotonicMs: () => nowMs },
      counts: new ReconcileCounts(),
      log: { info: () => undefined },
    } as unknown as RemoveSurplusDeps;
    await removeDue(deps, sinceMs);
    return asked;
  };
  const removal = { name: 'replica.remove', volume: 'vol-1', replica: 'r3', wait: false };

  it('loses one, and is not asked of again at once', async () => {
    expect(await round(0)).toEqual([]);
    expect(await round(29_000)).toEqual([]);
    expect(await round(2_000)).toEqual([removal]);
    expect(await round(1_000)).toEqual([]);
    refuses = true;
    expect(await round(30_000)).toEqual([removal]);
  });

  it('keeps it when the record says otherwise by now, or while its number is being changed', async () => {
    await round(0);
    stored = { ...tooMany, replicaCount: 3 };
    expect(await round(31_000)).toEqual([]);
    running = [{ subject: 'volume-replicas/vol-1' }];
    stored = tooMany;
    expect(await round(31_000)).toEqual([]);
    // It begins anew when that has ended.
    running = [];
    expect(await round(1_000)).toEqual([]);
    expect(await round(31_000)).toEqual([removal]);
  });
});
