import type { ImageCopyRecord } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { incompleteError, wouldEvacuate } from './evacuation-report.js';
import { copiesLeaving, enginesOn, lastOf, planMoves, replicasLeaving } from './plan-evacuation.js';
import { disk } from './placement.test-support.js';
import { attachedVolume, diskNamed, readyNode, replicaOn } from './volume.test-support.js';

const nodes = ['n1', 'n2', 'n3', 'n4'].map((name) =>
  readyNode(name, { disks: [diskNamed(`disk-${name}`)] }),
);
const on = (id: string, node: string, mode: 'RW' | 'ERR' = 'RW') =>
  replicaOn(id, node, { disk: `disk-${node}`, mode });
const three = attachedVolume({
  sizeBytes: 60,
  replicas: [on('a', 'n1'), on('b', 'n2'), on('c', 'n3')],
});
const whole = { node: 'n3', disk: null };

describe('the plan of an evacuation', () => {
  it('has each replica with a place that keeps it apart from the others of its volume', () => {
    const [move] = planMoves(
      [three],
      nodes,
      nodes.map(({ name }) => disk(name)),
      whole,
    );
    expect(move).toMatchObject({ replica: { id: 'c' }, to: { node: 'n4', disk: 'disk-n4' } });
  });

  it('promises no room twice, and says of the second one what it lacks', () => {
    const two = attachedVolume({ ...three, id: 'vol-2', name: 'v2' });
    const moves = planMoves(
      [three, two],
      nodes,
      nodes.map(({ name }) => disk(name)),
      whole,
    );
    expect(moves.map(({ to }) => to?.node)).toEqual(['n4', undefined]);
    expect(moves[1]?.reason).toContain('n4/d1: 40 B free, 60 B needed');
  });

  it('takes nothing of the same node for a drain, and its other disks for that of a disk', () => {
    const pair = [disk('n1', { disk: 'disk-n1' }), disk('n1', { disk: 'other', name: 'd2' })];
    const alone = attachedVolume({ replicas: [on('a', 'n1')] });
    const one = [readyNode('n1', { disks: [diskNamed('disk-n1'), diskNamed('other', 'd2')] })];
    const plan = (from: { node: string; disk: string | null }) =>
      planMoves([alone], one, pair, from)[0];
    expect(plan({ node: 'n1', disk: 'disk-n1' })?.to).toEqual({ node: 'n1', disk: 'other' });
    expect(plan({ node: 'n1', disk: null })).toMatchObject({
      to: null,
      reason: expect.stringMatching(/^it is the last healthy one: There is a place for 0 of 1/),
    });
  });

  it('leaves what nothing healthy can be copied from', () => {
    const lost = attachedVolume({ replicas: [on('a', 'n1', 'ERR'), on('c', 'n3', 'ERR')] });
    const [move] = planMoves(
      [lost],
      nodes,
      nodes.map(({ name }) => disk(name)),
      whole,
    );
    expect(move).toMatchObject({ to: null, reason: expect.stringContaining('ready to copy from') });
  });

  it('knows what is there: replicas, copies of images and, of a node, engines', () => {
    const copies = [
      { node: 'n3', disk: 'disk-n3' },
      { node: 'n1', disk: 'disk-n1' },
    ];
    const image = { copies: copies as unknown as readonly ImageCopyRecord[] };
    expect(replicasLeaving([three], whole).map(({ replica }) => replica.id)).toEqual(['c']);
    expect(copiesLeaving([image], whole)).toHaveLength(1);
    expect(enginesOn([three], { node: 'n1', disk: null })).toEqual([three]);
    expect(enginesOn([three], { node: 'n1', disk: 'disk-n1' })).toEqual([]);
  });

  it('says of the last healthy replica that it is one', () => {
    const degraded = attachedVolume({ replicas: [on('a', 'n1', 'ERR'), on('c', 'n3')] });
    expect(lastOf(degraded, { id: 'c' })).toMatch(/last healthy/);
    expect(lastOf(degraded, { id: 'a' })).toBe('');
    expect(lastOf(three, { id: 'c' })).toBe('');
  });

  it('is told a line a thing', () => {
    const moves = planMoves(
      [three],
      nodes,
      nodes.map(({ name }) => disk(name)),
      whole,
    );
    const copies = [
      { name: 'kept', minimumCopies: 2, disk: 'disk-n3', othersReady: 2 },
      { name: 'spread', minimumCopies: 2, disk: 'disk-n3', othersReady: 1 },
    ];
    expect(wouldEvacuate(whole, moves, copies, [three])).toEqual({
      dryRun: true,
      would: [
        "cordon node 'n3': no new replicas, no new engines",
        "move replica c (RW) of volume 'v1' to disk disk-n4 of node 'n4', or another that has room then",
        "delete the copy of image 'kept' on disk disk-n3: 2 others are ready",
        "copy image 'spread' to another node, and then delete its copy on disk disk-n3",
        "leave the engine of volume 'v1' running: detach it, or attach it elsewhere",
      ],
    });
  });
});

describe('what an evacuation leaves', () => {
  const empty = {
    ...{ node: 'n3', disk: null, movedReplicas: 1, movedCopies: 0 },
    remaining: { replicas: [], copies: [], engines: [] },
  };

  it('is nothing when all has gone', () => {
    expect(incompleteError(whole, empty)).toBeUndefined();
  });

  it('is told with each reason, the first ones in words and all as data', () => {
    const engines = Array.from({ length: 7 }, (_, at) => ({ volume: `vol-${at}`, name: `v${at}` }));
    const error = toLariatError(
      incompleteError(whole, { ...empty, remaining: { ...empty.remaining, engines } }),
    );
    expect(error.code).toBe('DRAIN_INCOMPLETE');
    expect(error.message).toContain("volume 'v0' is attached here: detach it");
    expect(error.message).toContain('2 more, see the details');
    expect(error.details).toMatchObject({ movedReplicas: 1, remaining: { engines } });
  });
});
