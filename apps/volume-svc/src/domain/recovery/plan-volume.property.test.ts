import type { ReplicaRecord, VolumeRecord } from '@lariat/contracts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { applyVolumeChanges } from '../apply-change.js';
import { inSyncOf } from '../replica-changes.js';
import { newReplica, newVolumeRecord } from '../volume-record.test-support.js';
import { type NodeAnswer, evidenceByVolume, hearingOf } from './evidence.js';
import { type VolumePlan, planVolume } from './plan-volume.js';
import { NO_HEAD, answers, found, silent, tells } from './recovery.test-support.js';

/** What befalls a node between the loss of the store and the recovery. */
type Fate = 'answers' | 'silent' | 'reinstalled';

type Action =
  | { readonly type: 'write' | 'join' | 'reuse' | 'sync' | 'note' | 'drop' | 'end-revert' }
  | { readonly type: 'lose' | 'retire' | 'revert'; readonly which: number };

interface Step {
  readonly action: Action;
  /** Bit by bit: which nodes the copy reaches. */
  readonly reached: number;
}

/** A volume's life: who holds what, who is on record, and which node keeps which record. */
class Life {
  record: VolumeRecord = newVolumeRecord({ revision: 1, replicaCount: 2 });
  /** Replicas that hold every acknowledged write. */
  readonly holders = new Set(['r1', 'r2']);
  readonly copies = new Map<string, VolumeRecord>();
  private made = 2;
  /** The revert that has made each head; missing: none. No chain tells it: the head stood on that snapshot before. */
  readonly madeBy = new Map<string, string>();
  /** The last revert that was answered as done. */
  reverted: string | undefined;
  /** Of a lost replica that is being reused the old head has gone, and the new one is not there yet. */
  private headless: string | undefined;

  constructor() {
    this.record = {
      ...this.record,
      replicas: [newReplica('r1', 'n1'), newReplica('r2', 'n2')],
    };
    for (const node of ['n1', 'n2']) this.copies.set(node, this.record);
  }

  /** `isConfirmed`: at least one member of the in-sync set keeps the change before anything goes on. */
  apply({ action, reached }: Step, isConfirmed: boolean): void {
    const { replicas } = this.record;
    const joining = replicas.find(({ mode }) => mode === 'WO');
    // It holds the volume, which is detached.
    const isReverting = this.record.reverting !== undefined;
    if (isReverting && action.type !== 'revert' && action.type !== 'end-revert') return;
    switch (action.type) {
      case 'write':
        // Acknowledged by all that take part; whoever does not has missed it.
        for (const id of this.holders)
          if (!replicas.some((replica) => replica.id === id && replica.mode !== 'ERR'))
            this.holders.delete(id);
        return;
      case 'note':
        // Only an operation's claim: it need not reach anybody.
        return this.change(replicas, reached, false);
      case 'join': {
        if (joining !== undefined || this.made >= 6) return;
        this.made += 1;
        const added = { ...newReplica(`r${this.made}`, `n${this.made}`), mode: 'WO' as const };
        return this.change([...replicas, added], reached, isConfirmed);
      }
      case 'reuse': {
        const lost = replicas.find(({ mode }) => mode === 'ERR');
        if (joining !== undefined || lost === undefined) return;
        this.headless = lost.id;
        return this.change(modeOf(replicas, lost.id, 'WO'), reached, isConfirmed);
      }
      case 'sync': {
        if (joining === undefined) return;
        this.holders.add(joining.id);
        this.headless = undefined;
        // A copy of the others' content, made by its rebuild.
        if (this.reverted === undefined) this.madeBy.delete(joining.id);
        else this.madeBy.set(joining.id, `rebuilt after ${this.reverted}`);
        return this.change(modeOf(replicas, joining.id, 'RW'), reached, isConfirmed);
      }
      case 'drop': {
        // A failed one, or one whose rebuild was given up or whose engine has let go of it.
        const gone = replicas.find(({ mode }) => mode !== 'RW');
        const rest = replicas.filter(({ id }) => id !== gone?.id);
        return this.change(rest, reached, isConfirmed);
      }
      case 'retire': {
        // It goes on taking writes; a 'sync' counts it again.
        const inSync = inSyncOf(this.record);
        const leaves = inSync[action.which % inSync.length];
        if (joining !== undefined || leaves === undefined || inSync.length === 1) return;
        return this.change(modeOf(replicas, leaves, 'WO'), reached, isConfirmed);
      }
      case 'revert': {
        if (joining !== undefined) return;
        if (!isReverting) {
          const operation = `revert-${this.record.revision}`;
          this.record = { ...this.record, reverting: { operation, snapshot: 's' } };
          return this.change(replicas, reached, isConfirmed);
        }
        const inSync = inSyncOf(this.record);
        const id = inSync[action.which % inSync.length];
        const operation = this.record.reverting?.operation;
        if (isConfirmed && id !== undefined && operation !== undefined)
          this.madeBy.set(id, operation);
        return;
      }
      case 'end-revert': {
        const operation = this.record.reverting?.operation;
        if (operation === undefined) return;
        const missed = inSyncOf(this.record).filter((id) => this.madeBy.get(id) !== operation);
        if (missed.length === inSyncOf(this.record).length) return this.abandon(reached);
        // Those whose nodes are gone leave the set first, and the end itself need not reach anybody.
        if (missed.length > 0) this.change(modesOf(replicas, missed, 'ERR'), reached, isConfirmed);
        if (!isConfirmed) return;
        this.reverted = operation;
        return this.abandon(reached >> 1);
      }
      case 'lose': {
        const inSync = inSyncOf(this.record);
        const candidates = replicas.filter(({ mode }) => mode !== 'ERR');
        const lost = candidates[action.which % candidates.length];
        if (lost === undefined || (inSync.length === 1 && inSync[0] === lost.id)) return;
        return this.change(modeOf(replicas, lost.id, 'ERR'), reached, isConfirmed);
      }
    }
  }

  private abandon(reached: number): void {
    const { reverting: _ended, ...rest } = this.record;
    this.record = rest;
    this.change(rest.replicas, reached, false);
  }

  /** What a replica holds, beside writes. */
  contentOf(replica: string): string {
    return (this.madeBy.get(replica) ?? 'never reverted').replace('rebuilt after ', '');
  }

  private change(replicas: readonly ReplicaRecord[], reached: number, isConfirmed: boolean): void {
    this.record = { ...this.record, replicas, revision: (this.record.revision ?? 0) + 1 };
    const nodes = replicas.filter((_, at) => (reached >> at) % 2 === 1).map(({ node }) => node);
    const members = replicas.filter(({ mode }) => mode === 'RW').map(({ node }) => node);
    if (isConfirmed && !members.some((node) => nodes.includes(node))) {
      const witness = members[reached % members.length];
      if (witness !== undefined) nodes.push(witness);
    }
    for (const node of nodes) this.copies.set(node, this.record);
  }

  answers(fates: readonly Fate[]): readonly NodeAnswer[] {
    return Array.from({ length: this.made }, (_, at): NodeAnswer => {
      const [node, replica] = [`n${at + 1}`, `r${at + 1}`];
      const fate = fates[at] ?? 'answers';
      if (fate === 'silent') return silent(node);
      if (fate === 'reinstalled') return { ...answers(node), disks: [] };
      const there = found(replica);
      const head = { ...there.head, madeBy: this.madeBy.get(replica) ?? null };
      const given = { ...there, head: replica === this.headless ? NO_HEAD : head };
      return tells(node, this.copies.get(node) ?? null, [given]);
    });
  }
}

const modeOf = (
  replicas: readonly ReplicaRecord[],
  id: string,
  mode: ReplicaRecord['mode'],
): readonly ReplicaRecord[] => modesOf(replicas, [id], mode);

const modesOf = (
  replicas: readonly ReplicaRecord[],
  ids: readonly string[],
  mode: ReplicaRecord['mode'],
): readonly ReplicaRecord[] =>
  replicas.map((replica) => (ids.includes(replica.id) ? { ...replica, mode } : replica));

function planFor(
  life: Life,
  fates: readonly Fate[],
  stored?: VolumeRecord,
): VolumePlan | undefined {
  const answers = life.answers(fates);
  const [evidence] = evidenceByVolume(answers);
  if (evidence === undefined) return undefined;
  const hearing = hearingOf(answers);
  return planVolume(evidence, {
    hearing,
    stored,
    wasDeleted: false,
    acceptDataLoss: false,
    nowMs: 1,
  });
}

/** The replicas that a recovery counts as in sync; none when it does not put the volume back. */
const countedBy = (plan: VolumePlan | undefined): readonly string[] =>
  plan?.kind === 'put-back' ? inSyncOf(plan.record) : [];

/** All that count have missed no write and hold the same: what an answered revert left, or the one that was cut off. */
function complaint(life: Life, plan: VolumePlan | undefined): string | undefined {
  if (plan?.kind !== 'put-back') return undefined;
  const inSync = inSyncOf(plan.record);
  const missed = inSync.filter((id) => !life.holders.has(id));
  if (inSync.length === 0 || missed.length > 0)
    return `of ${inSync.join(', ')}, ${missed.join(', ')} missed a write`;
  const contents = [...new Set(inSync.map((id) => life.contentOf(id)))];
  const allowed = [life.reverted ?? 'never reverted', life.record.reverting?.operation];
  if (contents.length === 1 && allowed.includes(contents[0])) return undefined;
  return `${inSync.join(', ')} hold ${contents.join(', ')}, and not one of ${allowed.join(', ')}`;
}

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('write' as const).map((type) => ({ type })) },
  fc
    .constantFrom(...(['join', 'reuse', 'sync', 'note', 'drop', 'end-revert'] as const))
    .map((type) => ({ type })),
  { weight: 2, arbitrary: fc.nat(5).map((which) => ({ type: 'lose' as const, which })) },
  fc.nat(5).map((which) => ({ type: 'retire' as const, which })),
  { weight: 2, arbitrary: fc.nat(5).map((which) => ({ type: 'revert' as const, which })) },
);
const step = fc.record({ action, reached: fc.nat(63) });
const steps = fc.array(step, { maxLength: 25 });
const fate = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Fate>('answers') },
  fc.constantFrom<Fate>('silent', 'reinstalled'),
);
const RUNS = { numRuns: 3_000 };

it('counts no replica that has missed an acknowledged write, whoever answers and whatever was cut off', () => {
  fc.assert(
    fc.property(
      steps,
      step,
      fc.array(fate, { minLength: 6, maxLength: 6 }),
      (past, last, fates) => {
        const life = new Life();
        for (const each of past) life.apply(each, true);
        // The store is lost before the last change is kept anywhere that counts: nothing was acknowledged after it.
        if (last.action.type !== 'write') life.apply(last, false);
        const plan = planFor(life, fates);
        expect(complaint(life, plan)).toBeUndefined();
      },
    ),
    RUNS,
  );
});

/** A rebuild that no member was left to keep ends all the same: see sync in rebuild-replica.saga.ts. Nothing acts on that. */
const mayBeUnkept = ({ action: { type }, reached }: Step): boolean =>
  (type === 'sync' || type === 'retire') && reached % 2 === 0;

it('counts no wrong one either after a replica came to count, or was to leave, and nobody was there to keep that', () => {
  fc.assert(
    fc.property(steps, fc.array(fate, { minLength: 6, maxLength: 6 }), (past, fates) => {
      const life = new Life();
      for (const each of past)
        life.apply(mayBeUnkept(each) ? { ...each, reached: 0 } : each, !mayBeUnkept(each));
      const plan = planFor(life, fates);
      expect(complaint(life, plan)).toBeUndefined();
    }),
    RUNS,
  );
});

it('finds the very in-sync set again when all nodes answer, and is never in doubt then', () => {
  fc.assert(
    fc.property(steps, (past) => {
      const life = new Life();
      for (const each of past) life.apply(each, true);
      life.apply({ action: { type: 'end-revert' }, reached: 0 }, true);
      const plan = planFor(life, []);
      expect(plan?.kind).toBe('put-back');
      expect(countedBy(plan)).toEqual(inSyncOf(life.record));
    }),
    RUNS,
  );
});

it('settles a revert that was given up by what the members hold, once all of them answer, and not on less', () => {
  fc.assert(
    fc.property(
      steps,
      fc.array(fc.nat(5), { maxLength: 4 }),
      fc.array(fate, { minLength: 6, maxLength: 6 }),
      (past, making, fates) => {
        const life = new Life();
        for (const each of past) life.apply(each, true);
        // The first one begins it, unless it has.
        for (const which of [0, ...making])
          life.apply({ action: { type: 'revert', which }, reached: 0 }, true);
        fc.pre(life.record.reverting !== undefined);
        const stored = applyVolumeChanges({ ...life.record, operation: 'op' }, 'op', [
          { type: 'doubt-revert', reason: 'all were lost' },
          { type: 'release', operation: 'op' },
        ]).record;
        const newer = { ...stored, revision: (stored.revision ?? 0) + 2 };
        const plan = planFor(life, fates, newer);
        expect(complaint(life, plan)).toBeUndefined();
        const whole = planFor(life, [], newer);
        expect(whole?.kind).toBe('put-back');
        expect(complaint(life, whole)).toBeUndefined();
      },
    ),
    RUNS,
  );
});

it('would count replicas that differ if nothing were on record of a revert', () => {
  const life = new Life();
  for (const which of [0, 0]) life.apply({ action: { type: 'revert', which }, reached: 3 }, true);
  expect(countedBy(planFor(life, []))).toEqual(['r2']);
  for (const [node, { reverting: _mark, ...copy }] of life.copies) life.copies.set(node, copy);
  expect(countedBy(planFor(life, []))).toEqual(['r1', 'r2']);
  expect(life.contentOf('r1')).not.toBe(life.contentOf('r2'));
});

it('would count a wrong one if a change of the set went on without a witness', () => {
  const life = new Life();
  life.apply({ action: { type: 'lose', which: 1 }, reached: 0 }, false);
  life.apply({ action: { type: 'write' }, reached: 0 }, true);
  const plan = planFor(life, []);
  expect(countedBy(plan)).toEqual(['r1', 'r2']);
  expect(life.holders).not.toContain('r2');
});

it('would count a wrong one if a replica that was forgotten came to count again', () => {
  // r2 is to be removed, and proves to be the last leg; the loss of r1 is then kept by r2 alone.
  const lives = (leave: (life: Life) => void): Life => {
    const life = new Life();
    const before = life.record.replicas;
    leave(life);
    // To be kept by r1, which was just lost: it is not.
    life.record = { ...life.record, replicas: before, revision: (life.record.revision ?? 0) + 1 };
    life.apply({ action: { type: 'lose', which: 0 }, reached: 2 }, true);
    life.apply({ action: { type: 'write' }, reached: 0 }, true);
    return life;
  };
  const n2IsAway: readonly Fate[] = ['answers', 'silent'];
  const forgotten = lives((life) => {
    const [r1] = life.record.replicas;
    life.record = { ...life.record, replicas: r1 === undefined ? [] : [r1], revision: 2 };
    life.copies.set('n1', life.record);
  });
  expect(forgotten.holders).not.toContain('r1');
  expect(countedBy(planFor(forgotten, n2IsAway))).toEqual(['r1']);
  const retired = lives((life) =>
    life.apply({ action: { type: 'retire', which: 1 }, reached: 1 }, true),
  );
  expect(planFor(retired, n2IsAway)?.kind).toBe('in-doubt');
  expect(countedBy(planFor(retired, ['answers', 'answers']))).toEqual(['r2']);
});
