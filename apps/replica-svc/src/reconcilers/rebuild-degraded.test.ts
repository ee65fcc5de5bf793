import type { NodeRecord, VolumeRecord } from '@lariat/contracts';
import { DEFAULT_REBUILD_CONTROL, lariatError } from '@lariat/contracts';
import { ReconcileCounts } from '@lariat/kernel';
import { beforeEach, describe, expect, it } from 'vitest';
import type { RunningRebuild } from '../domain/rebuild-load.js';
import { attachedVolume, diskNamed, readyNode, replicaOn } from '../domain/volume.test-support.js';
import { type RebuildDegradedDeps, rebuildDue } from './rebuild-degraded.js';

const node = (name: string): NodeRecord => readyNode(name, { disks: [diskNamed(`disk-${name}`)] });

const degraded = (id: string, source: string, lost: string): VolumeRecord =>
  attachedVolume({
    id,
    name: id,
    replicaCount: 2,
    state: 'detached',
    attachment: null,
    replicas: [
      replicaOn(`${id}-${source}`, source, { disk: `disk-${source}` }),
      replicaOn(`${id}-${lost}`, lost, {
        disk: `disk-${lost}`,
        mode: 'ERR',
        state: 'faulted',
        faultedAtMs: 0,
      }),
    ],
  });

const rebuildOf = (id: string, source: string, target: string): RunningRebuild => {
  const place = (node: string) => ({ id: 'r', node, disk: 'd' });
  return { id, kind: 'replica.rebuild', memory: { source: place(source), target: place(target) } };
};

describe('rebuilds that begin by themselves', () => {
  let asked: { readonly volume: string; readonly replica?: string }[];
  let running: RunningRebuild[];
  let nowMs: number;
  let refuse: boolean;
  let notBeforeMs: Map<string, number>;

  beforeEach(() => {
    asked = [];
    running = [];
    nowMs = 10_000;
    refuse = false;
    notBeforeMs = new Map();
  });

  const round = async (volumes: readonly VolumeRecord[], maxPerNode = 2): Promise<string[]> => {
    asked = [];
    const deps = {
      volumes: { list: () => volumes },
      nodes: { list: () => ['n1', 'n2', 'n3', 'n4'].map((name) => node(name)) },
      running: () => running,
      client: {
        request: (_name: string, body: (typeof asked)[number]) => {
          if (refuse) return Promise.reject(lariatError('NO_CAPACITY', 'full'));
          asked.push(body);
          return Promise.resolve({});
        },
      },
      clock: { nowMs: () => nowMs },
      log: { info: () => undefined },
      counts: new ReconcileCounts(),
      policy: { graceMs: 60_000, maxPerNode, limitMibPerSecond: 0, byItself: true },
    } as unknown as RebuildDegradedDeps;
    await rebuildDue(deps, notBeforeMs);
    return asked.map(({ volume }) => volume);
  };

  it('go on side by side until a node has as many as it may', async () => {
    const volumes = [
      degraded('a', 'n1', 'n2'),
      degraded('b', 'n1', 'n3'),
      degraded('c', 'n1', 'n4'),
      degraded('d', 'n3', 'n4'),
    ];
    expect(await round(volumes)).toEqual(['a', 'b', 'd']);
    const begun = ['a', 'b', 'd'];
    // c has waited without a failure: it begins as soon as n1 has room.
    running = [rebuildOf('op-a', 'n1', 'n3'), rebuildOf('op-d', 'n3', 'n4')];
    nowMs += 1_000;
    expect(await round(volumes.filter(({ id }) => !begun.includes(id)))).toEqual(['c']);
  });

  it('do not wait for one that is paused', async () => {
    const begun = degraded('a', 'n1', 'n2');
    running = [rebuildOf('op-a', 'n1', 'n2')];
    const held = { ...begun, operation: 'op-a' };
    expect(await round([held, degraded('b', 'n1', 'n3')], 1)).toEqual([]);
    const rebuild = { ...DEFAULT_REBUILD_CONTROL, paused: true };
    expect(await round([{ ...held, rebuild }, degraded('b', 'n1', 'n3')], 1)).toEqual(['b']);
  });

  it('names the replica that is back', async () => {
    await round([degraded('a', 'n1', 'n2')]);
    expect(asked).toEqual([{ volume: 'a', replica: 'a-n2', keepPause: true, wait: false }]);
  });

  it('are not asked for again at once after a refusal', async () => {
    refuse = true;
    expect(await round([degraded('a', 'n1', 'n2')])).toEqual([]);
    refuse = false;
    nowMs += 1_000;
    expect(await round([degraded('a', 'n1', 'n2')])).toEqual([]);
    nowMs += 30_000;
    expect(await round([degraded('a', 'n1', 'n2')])).toEqual(['a']);
  });
});
