import type { ImageView } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import {
  assertLossAccepted,
  assertRemovable,
  planRemoval,
  type RemovalPlan,
  wouldRemove,
} from './plan-removal.js';
import { attachedVolume, readyNode, replicaOn } from './volume.test-support.js';

const detached = { state: 'detached', attachment: null } as const;
const spread = attachedVolume({
  ...{ id: 'vol-1', name: 'spread', ...detached },
  replicas: [replicaOn('r1', 'n1'), replicaOn('r2', 'n2'), replicaOn('r3', 'n3', { mode: 'ERR' })],
});
const alone = attachedVolume({
  ...{ id: 'vol-2', name: 'alone', ...detached },
  replicas: [replicaOn('r4', 'n2'), replicaOn('r5', 'n1', { mode: 'ERR' })],
});
const inUse = attachedVolume({ id: 'vol-3', name: 'used', replicas: [replicaOn('r6', 'n3')] });
const image = (name: string, ...nodes: string[]) =>
  ({ name, copies: nodes.map((node) => ({ node, state: 'ready' })) }) as unknown as ImageView;
const plan = (node: string): RemovalPlan =>
  planRemoval(node, [spread, alone, inUse], [image('one', 'n2'), image('two', 'n1', 'n2')]);

describe('the removal of a node', () => {
  it('takes replicas from volumes that have a healthy one elsewhere', () => {
    expect(plan('n1').dropped).toEqual([
      { volume: 'vol-1', name: 'spread', replica: 'r1', mode: 'RW', healthyElsewhere: 1 },
      { volume: 'vol-2', name: 'alone', replica: 'r5', mode: 'ERR', healthyElsewhere: 1 },
    ]);
    expect(plan('n1').lost).toEqual([]);
    expect(plan('n1').attached.map(({ name }) => name)).toEqual(['used']);
  });

  it('loses volumes and images that have nothing elsewhere, and is refused without a word for it', () => {
    expect(plan('n2')).toMatchObject({
      ...{ lost: [{ name: 'alone', replica: 'r4' }], lostImages: ['one'] },
    });
    const refused = (): void => assertLossAccepted('n2', plan('n2'), false);
    expect(refused).toThrow(expect.objectContaining({ code: 'DATA_LOSS_NOT_ACCEPTED' }));
    expect(refused).toThrow("volume 'alone', image 'one'");
    expect(() => assertLossAccepted('n2', plan('n2'), true)).not.toThrow();
    expect(() => assertLossAccepted('n1', plan('n1'), false)).not.toThrow();
  });

  it('takes a faulted replica for the last, when no other is healthy: it may hold what the others lack', () => {
    const faulted = attachedVolume({
      ...{ ...detached, name: 'faulted' },
      replicas: [replicaOn('a', 'n1', { mode: 'ERR' }), replicaOn('b', 'n2', { mode: 'ERR' })],
    });
    expect(planRemoval('n1', [faulted], []).lost.map(({ replica }) => replica)).toEqual(['a']);
  });

  it('leaves volumes that are being deleted to that', () => {
    const deleting = { ...alone, state: 'deleting' as const };
    expect(planRemoval('n2', [deleting], [])).toMatchObject({ lost: [], dropped: [] });
  });

  it('is for a node that is down; of any other it says what to do', () => {
    expect(() => assertRemovable(readyNode('n1', { state: 'down' }), plan('n1'))).not.toThrow();
    const live = (state: 'ready' | 'suspect', node: string) => (): void =>
      assertRemovable(readyNode(node, { state }), plan(node));
    expect(live('ready', 'n1')).toThrow('1 volume(s) attached there, 2 replica(s)');
    expect(live('suspect', 'n1')).toThrow(expect.objectContaining({ code: 'NODE_IN_USE' }));
    expect(live('ready', 'n9')).toThrow(
      'is ready, and a node is removed when it is down. Then stop',
    );
  });

  it('says beforehand what it would do, and what would be lost', () => {
    const { would } = wouldRemove(readyNode('n2'), plan('n2'), 2);
    expect(would).toEqual([
      "take replica r2 (RW) off volume 'spread', which keeps 1 healthy one(s)",
      expect.stringContaining("LOSE volume 'alone'"),
      expect.stringContaining("LOSE image 'one'"),
      'forget 2 orphan(s) found there',
      "forget node 'n2' and its 0 disk(s)",
      expect.stringContaining('--accept-data-loss'),
    ]);
    expect(wouldRemove(readyNode('n1'), plan('n1'), 0).would[0]).toContain("detach volume 'used'");
  });
});
