import type { NodeRecord, ReplicaRecord, VolumeRecord } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseMove } from './choose-rebuild.js';
import { planMove } from './plan-move.js';
import { inRemovalOrder, nextScaleStep } from './scale.js';
import { attachedVolume, diskNamed, readyNode, replicaOn } from './volume.test-support.js';

const replica = (id: string, node: string, given: Partial<ReplicaRecord> = {}): ReplicaRecord =>
  replicaOn(id, node, { disk: `${node}-d1`, ...given });

const volume = (replicas: readonly ReplicaRecord[], given: Partial<VolumeRecord> = {}) =>
  attachedVolume({ replicas, ...given });

const node = (name: string, given: Partial<NodeRecord> = {}): NodeRecord =>
  readyNode(name, {
    zone: `zone-of-${name}`,
    disks: [diskNamed(`${name}-d1`, 'd1'), diskNamed(`${name}-d2`, 'd2')],
    ...given,
  });
const nodes = [node('n1'), node('n2'), node('n3'), node('n4')];
const three = [replica('r1', 'n1'), replica('r2', 'n2'), replica('r3', 'n3')];

describe('the replica that is missed least', () => {
  const first = (
    replicas: readonly ReplicaRecord[],
    known: readonly NodeRecord[] = nodes,
  ): string | undefined => inRemovalOrder(volume(replicas), known)[0]?.id;

  it.each([
    ['is the newest of equals, away from the engine', three, nodes, 'r3'],
    ['is not the one beside the engine', [replica('r2', 'n2'), replica('r1', 'n1')], nodes, 'r2'],
    ['holds nothing that counts', [replica('r0', 'n1', { mode: 'ERR' }), ...three], nodes, 'r0'],
    [
      'is on a node that is down',
      three,
      [node('n1'), node('n2', { state: 'down' }), node('n3')],
      'r2',
    ],
    ['is on a node that is not known', three, [node('n2'), node('n3')], 'r1'],
    [
      'is on a cordoned node',
      three,
      [node('n1', { schedulable: false }), node('n2'), node('n3')],
      'r1',
    ],
    [
      'shares its node',
      [
        replica('r1', 'n1'),
        replica('r2', 'n2'),
        replica('r3', 'n3'),
        replica('r4', 'n2', { disk: 'n2-d2' }),
      ],
      nodes,
      'r4',
    ],
    [
      'shares its zone',
      three,
      [node('n1', { zone: 'z' }), node('n2', { zone: 'z' }), node('n3')],
      'r2',
    ],
  ])('%s', (_name, replicas, known, expected) => {
    expect(first(replicas, known)).toBe(expected);
  });
});

describe('a number of replicas', () => {
  it.each([
    [4, { kind: 'add' }],
    [3, { kind: 'done' }],
    [2, { kind: 'remove', replica: 'r3' }],
  ])('of %i', (wanted, step) => {
    expect(nextScaleStep(volume(three), wanted, nodes)).toEqual(step);
  });

  it('waits for whoever works on the volume', () => {
    expect(nextScaleStep(volume(three, { operation: 'op-9' }), 1, nodes)).toEqual({
      kind: 'wait',
      operation: 'op-9',
    });
  });

  it('is never reached by taking one away that is needed', () => {
    const modes = fc.array(fc.constantFrom('RW', 'ERR', 'WO'), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(modes, fc.integer({ min: 1, max: 5 }), (given, wanted) => {
        const replicas = given.map((mode, at) =>
          replica(`r${at}`, `n${at}`, { mode: mode as ReplicaRecord['mode'] }),
        );
        const step = nextScaleStep(volume(replicas), wanted, nodes);
        if (step.kind !== 'remove') return;
        const left = replicas.filter(({ id, mode }) => id !== step.replica && mode === 'RW');
        expect(left.length).toBeGreaterThanOrEqual(Math.min(wanted, 1));
        expect(left.length).toBeGreaterThanOrEqual(
          replicas.some(({ mode }) => mode !== 'RW')
            ? replicas.filter(({ mode }) => mode === 'RW').length
            : wanted,
        );
      }),
    );
  });
});

describe('a move', () => {
  const codeOf = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      return toLariatError(error).code;
    }
    return 'accepted';
  };

  it('copies from another replica, and from the moved one where there is no other', () => {
    expect(chooseMove(volume(three), 'r2', () => true)).toMatchObject({
      replaced: { id: 'r2' },
      source: { id: 'r3' },
      others: [{ id: 'r1' }, { id: 'r3' }],
    });
    expect(chooseMove(volume(three), 'r2', (name) => name !== 'n3').source.id).toBe('r1');
    expect(chooseMove(volume([replica('r2', 'n2')]), 'r2', () => true).source.id).toBe('r2');
    expect(codeOf(() => chooseMove(volume(three), 'r2', () => false))).toBe('LEG_UNREACHABLE');
  });

  it.each([
    [{ replica: 'r2' }, 7],
    [{ replica: 'r2', toNode: 'n4' }, 2],
    [{ replica: 'r2', toNode: 'n2' }, 1],
    [{ replica: 'r2', toDisk: 'd1' }, 3],
    [{ replica: 'r2', toNode: 'n3', toDisk: 'n3-d2' }, 1],
  ])('to %j may go to %i disks', (wanted, count) => {
    expect(planMove(volume(three), nodes, wanted).toDisks).toHaveLength(count);
  });

  it.each([
    [{ replica: 'r9' }, 'REPLICA_NOT_FOUND'],
    [{ replica: 'r2', toNode: 'n9' }, 'NODE_NOT_FOUND'],
    [{ replica: 'r2', toNode: 'n3', toDisk: 'n4-d1' }, 'DISK_NOT_FOUND'],
    [{ replica: 'r2', toNode: 'n2', toDisk: 'd1' }, 'NOT_ENOUGH_NODES'],
  ])('to %j is refused with %s', (wanted, code) => {
    expect(codeOf(() => planMove(volume(three), nodes, wanted))).toBe(code);
  });
});
