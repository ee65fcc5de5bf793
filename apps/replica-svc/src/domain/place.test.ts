import type { Placement, PlacementExplanation } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import type { DiskState } from './disk-state.js';
import { type PlaceRequest, place, placementError } from './place.js';
import { disk, request } from './placement.test-support.js';

function placementsOf(asked: PlaceRequest, disks: readonly DiskState[]): readonly Placement[] {
  const outcome = place(asked, disks);
  if (!outcome.placed) throw placementError(outcome);
  return outcome.placements;
}

function refusal(asked: PlaceRequest, disks: readonly DiskState[]) {
  const outcome = place(asked, disks);
  if (outcome.placed) throw new Error('all were placed');
  const error = toLariatError(placementError(outcome));
  return { outcome, error, message: error.message };
}

describe('where a replica goes', () => {
  const onTwoZones = [
    disk('n1', { zone: 'a' }),
    disk('n2', { zone: 'a', scheduledBytes: 1 }),
    disk('n3', { zone: 'b', scheduledBytes: 80 }),
  ];
  const twoDisks = [
    disk('n1', { disk: 'n1-a', name: 'a' }),
    disk('n1', { disk: 'n1-b', name: 'b', scheduledBytes: 50 }),
    disk('n2', { disk: 'n2-a', name: 'a', scheduledBytes: 60 }),
  ];
  const cases: readonly {
    readonly title: string;
    readonly disks: readonly DiskState[];
    readonly asked: PlaceRequest;
    readonly expected: readonly string[];
  }[] = [
    {
      title: 'the emptiest disk',
      disks: [disk('n1', { scheduledBytes: 5 }), disk('n2')],
      asked: request(['a']),
      expected: ['disk-n2'],
    },
    {
      title: 'a preferred disk before an emptier one',
      disks: [disk('n1', { scheduledBytes: 5 }), disk('n2')],
      asked: request(['a'], { preferDisks: ['disk-n1'] }),
      expected: ['disk-n1'],
    },
    {
      // Nothing is fetched then, and the copy's room is not taken twice.
      title: 'a disk that has the image before an emptier one',
      disks: [disk('n1', { scheduledBytes: 40 }), disk('n2')],
      asked: request(['a'], { image: { disks: ['disk-n1'], copyBytes: 20 } }),
      expected: ['disk-n1'],
    },
    {
      // Or the first few disks of an image that is in favour fill up while others stay empty.
      title: 'an emptier disk before one that has the image and less than half as much room',
      disks: [disk('n1', { scheduledBytes: 51 }), disk('n2')],
      asked: request(['a'], { image: { disks: ['disk-n1'], copyBytes: 20 } }),
      expected: ['disk-n2'],
    },
    {
      title: 'a disk that shares with the source before one that has the image',
      disks: [disk('n1'), disk('n2', { scheduledBytes: 40 })],
      asked: request(['a'], {
        preferDisks: ['disk-n2'],
        image: { disks: ['disk-n1'], copyBytes: 20 },
      }),
      expected: ['disk-n2'],
    },
    {
      title: 'another zone before a disk that has the image',
      disks: onTwoZones,
      asked: request(['a', 'b'], { image: { disks: ['disk-n1', 'disk-n2'], copyBytes: 10 } }),
      expected: ['disk-n1', 'disk-n3'],
    },
    {
      title: 'where a copy of the image fits beside it',
      disks: [disk('n1', { scheduledBytes: 75 }), disk('n2', { scheduledBytes: 80 })],
      asked: request(['a'], { image: { disks: ['disk-n2'], copyBytes: 20 } }),
      expected: ['disk-n2'],
    },
    {
      title: 'twice to one disk that gets one copy of the image, when the rules are soft',
      disks: [disk('n1', { scheduledBytes: 60 })],
      asked: request(['a', 'b'], {
        placement: { node: 'soft' },
        image: { disks: [], copyBytes: 20 },
      }),
      expected: ['disk-n1', 'disk-n1'],
    },
    {
      title: 'another zone before a preferred disk',
      disks: onTwoZones,
      asked: request(['a', 'b'], { preferDisks: ['disk-n1', 'disk-n2'] }),
      expected: ['disk-n1', 'disk-n3'],
    },
    {
      title: 'another zone before an emptier node of the same',
      disks: onTwoZones,
      asked: request(['a', 'b']),
      expected: ['disk-n1', 'disk-n3'],
    },
    {
      title: 'the emptier node where zones do not matter',
      disks: onTwoZones,
      asked: request(['a', 'b'], { placement: { zone: 'off' } }),
      expected: ['disk-n1', 'disk-n2'],
    },
    {
      title: 'the same zone when no other is left and the rule is soft',
      disks: onTwoZones,
      asked: request(['a', 'b', 'c']),
      expected: ['disk-n1', 'disk-n3', 'disk-n2'],
    },
    {
      title: 'another node before another disk of the same',
      disks: twoDisks,
      asked: request(['a', 'b'], { placement: { node: 'soft' } }),
      expected: ['n1-a', 'n2-a'],
    },
    {
      title: 'another disk before the same, once all nodes have one',
      disks: twoDisks,
      asked: request(['a', 'b', 'c'], { placement: { node: 'soft' } }),
      expected: ['n1-a', 'n2-a', 'n1-b'],
    },
    {
      title: 'the same disk, once all disks have one and the rules are soft',
      disks: [disk('n1')],
      asked: request(['a', 'b'], { placement: { node: 'soft' } }),
      expected: ['disk-n1', 'disk-n1'],
    },
    {
      title: 'away from where the volume has replicas already',
      disks: onTwoZones,
      asked: request(['a'], { others: [{ node: 'n1', disk: 'disk-n1', zone: 'a' }] }),
      expected: ['disk-n3'],
    },
    {
      title: 'not to the node that failed while there is another',
      disks: onTwoZones,
      asked: request(['a'], { avoidNodes: ['n1'] }),
      expected: ['disk-n2'],
    },
    {
      title: 'back to the node that failed when there is no other',
      disks: [disk('n1'), disk('n2')],
      asked: request(['a'], {
        avoidNodes: ['n1'],
        others: [{ node: 'n2', disk: 'disk-n2', zone: 'z1' }],
      }),
      expected: ['disk-n1'],
    },
    {
      title: 'only to nodes and disks with all the tags',
      disks: [
        disk('n1', { nodeTags: ['fast'] }),
        disk('n2', { nodeTags: ['fast', 'rack'], diskTags: ['ssd'], scheduledBytes: 90 }),
        disk('n3', { diskTags: ['ssd'] }),
      ],
      asked: request(['a'], { placement: { nodeTags: ['fast'], diskTags: ['ssd'] } }),
      expected: ['disk-n2'],
    },
    {
      title: 'not to a cordoned disk or node',
      disks: [
        disk('n1', { diskSchedulable: false }),
        disk('n2', { nodeSchedulable: false }),
        disk('n3', { scheduledBytes: 90 }),
      ],
      asked: request(['a']),
      expected: ['disk-n3'],
    },
    {
      title:
        'not to a node that is suspected while another has room, though it is fuller and shared',
      disks: [
        disk('n1', { nodeReady: false, nodeSuspect: true }),
        disk('n2', { scheduledBytes: 80 }),
      ],
      asked: request(['a', 'b'], { placement: { node: 'soft', disk: 'soft' } }),
      expected: ['disk-n2', 'disk-n2'],
    },
    {
      title: 'to a node that is suspected when no other has room, and never to one that is down',
      disks: [
        disk('n1', { nodeReady: false }),
        disk('n2', { nodeReady: false, nodeSuspect: true }),
        disk('n3', { scheduledBytes: 95 }),
      ],
      asked: request(['a']),
      expected: ['disk-n2'],
    },
    {
      title: 'where it is already, whatever the disk is by now',
      disks: [
        disk('n1', { replicas: new Map([['a', 10]]), scheduledBytes: 120, nodeReady: false }),
        disk('n2'),
        disk('n3'),
      ],
      asked: request(['b', 'a']),
      expected: ['disk-n2', 'disk-n1'],
    },
  ];
  it.each(cases)('$title', ({ asked, disks, expected }) => {
    expect(placementsOf(asked, disks).map(({ disk: id }) => id)).toEqual(expected);
  });
});

describe('a placement that fails', () => {
  it('gives each disk and all its reasons, as text and as data', () => {
    const states = [
      disk('n1', { scheduledBytes: 95, zone: 'a' }),
      disk('n2', { zone: 'b' }),
      disk('n3', { zone: 'b', nodeReady: false, nodeState: 'down: no heartbeat for 8 s' }),
      disk('n4', { zone: 'c', nodeSchedulable: false, diskTags: ['ssd'], scheduledBytes: 100 }),
    ];
    const asked = request(['a', 'b'], { placement: { zone: 'hard', diskTags: [] } });
    const { error, message } = refusal(asked, states);
    expect(error.code).toBe('NO_CAPACITY');
    expect(message).toContain('There is room for 1 of 2 replica(s) of 10 B');
    expect(message).toContain('never two on one node or zone');
    expect(message).toContain('n1/d1: 5 B free, 10 B needed');
    expect(message).toContain('n2/d1: would take 1 and no more');
    expect(message).toContain('n3/d1: its node is down: no heartbeat for 8 s, zone b has another');
    expect(message).toContain('n4/d1: its node is cordoned, 0 B free, 10 B needed');
    const explanation = structuredClone(
      error.toRecord().details,
    ) as unknown as PlacementExplanation;
    expect(explanation).toMatchObject({
      wanted: 2,
      placed: 1,
      sizeBytes: 10,
      omittedDisks: 0,
      obstacles: { 'no-room': 2, 'node-cordoned': 1, 'node-not-ready': 1, 'zone-taken': 2 },
    });
    expect(
      explanation.disks.map(({ node, chosen, freeBytes: free, reasons }) => [
        node,
        chosen,
        free,
        reasons.map(({ obstacle }) => obstacle),
      ]),
    ).toEqual([
      ['n2', 1, 90, ['zone-taken', 'node-taken']],
      ['n1', 0, 5, ['no-room']],
      ['n3', 0, 100, ['node-not-ready', 'zone-taken']],
      ['n4', 0, 0, ['node-cordoned', 'no-room']],
    ]);
  });

  it('is for want of room, not of nodes, when what it has itself fills one that is down', () => {
    const states = [
      disk('n1', { replicas: new Map([['a', 10]]), scheduledBytes: 10, nodeReady: false }),
      disk('n2', { scheduledBytes: 99 }),
    ];
    const { outcome } = refusal(request(['a', 'b']), states);
    expect(outcome).toMatchObject({ code: 'NO_CAPACITY', explanation: { placed: 1 } });
  });

  it('does not hope for a node that is suspected when what is asked for can wait', () => {
    const states = [
      disk('n1', { nodeReady: false, nodeSuspect: true, nodeState: 'suspect: no heartbeat' }),
    ];
    expect(refusal(request(['a'], { suspects: 'never' }), states).message).toContain(
      'n1/d1: its node is suspect: no heartbeat',
    );
  });

  it('says what of the room is for a copy of the image', () => {
    const asked = request(['a'], { image: { disks: [], copyBytes: 20 } });
    expect(refusal(asked, [disk('n1', { scheduledBytes: 75 })]).message).toContain(
      'n1/d1: 25 B free, 30 B needed, 20 B of it for a copy of the image',
    );
  });

  it('names tags that are missing, and what the rules were', () => {
    const { error, message } = refusal(
      request(['a'], { placement: { nodeTags: ['fast', 'west'], diskTags: ['ssd'] } }),
      [disk('n1', { nodeTags: ['west'] })],
    );
    expect(error.code).toBe('NOT_ENOUGH_NODES');
    expect(message).toContain('nodes tagged fast, west; disks tagged ssd');
    expect(message).toContain('n1/d1: its node lacks tag fast, it lacks tag ssd');
  });

  it('stays short on a large cluster, and its data is bounded', () => {
    const states = Array.from({ length: 1_000 }, (_, index) =>
      disk(`n${index}`, { scheduledBytes: 99 }),
    );
    const { outcome, message } = refusal(request(['a']), states);
    expect(message.length).toBeLessThan(1_500);
    expect(message).toContain("988 more disk(s), see the error's details");
    expect(outcome.explanation).toMatchObject({
      omittedDisks: 936,
      obstacles: { 'no-room': 1_000 },
    });
    expect(JSON.stringify(outcome.explanation).length).toBeLessThan(20_000);
  });

  it('says so where there is no disk at all', () => {
    expect(refusal(request(['a']), []).message).toContain('There is no disk.');
  });
});
