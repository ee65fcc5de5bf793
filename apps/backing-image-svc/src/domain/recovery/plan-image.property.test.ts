import {
  type ImageCopyRecord,
  type ImageEvidence,
  type ImageRecord,
  comparePositions,
  positionOf,
} from '@lariat/contracts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { copyOn, imageRecord } from '../../testing/image-record.js';
import { IMAGE_COPIES } from '../record-copies.js';
import { planImage } from './plan-image.js';

const NODES = ['n1', 'n2', 'n3', 'n4'] as const;
type Node = (typeof NODES)[number];

interface Held {
  isAway: boolean;
  isSealed: boolean;
  hasDraft: boolean;
  kept: ImageRecord | null;
}

const ACTIONS = ['spread', 'evict', 'corrupt', 'repair', 'leave', 'return'] as const;

interface Step {
  readonly action: (typeof ACTIONS)[number];
  readonly node: Node;
  /** How many of its changes it makes before the store is lost; the last step of a life may be cut off. */
  readonly reached: number;
}

/** One image, on nodes that come and go; what its sagas and reconcilers do to it, change by change. */
class Life {
  readonly nodes = new Map<Node, Held>(
    NODES.map((node) => [node, { isAway: false, isSealed: false, hasDraft: false, kept: null }]),
  );
  record = imageRecord({ revision: 1, copies: [copyOn('n1')] });
  /** A node that was there has lost its copy to the deletion. */
  wasDeleted = false;

  constructor() {
    this.at('n1').isSealed = true;
    this.keep();
  }

  at(node: Node): Held {
    const held = this.nodes.get(node);
    if (held === undefined) throw new Error(`there is no ${node}`);
    return held;
  }

  private listed(node: Node): ImageCopyRecord | undefined {
    return this.record.copies.find((copy) => copy.node === node);
  }

  /** Each node that is there, and has a sealed copy, gets the record in time. */
  private keep(): void {
    for (const node of NODES) {
      const held = this.at(node);
      if (!held.isAway && held.isSealed && IMAGE_COPIES.keepersOf(this.record).includes(node))
        held.kept = this.record;
    }
  }

  private change(given: Partial<ImageRecord>): void {
    this.record = { ...this.record, ...given, revision: (this.record.revision ?? 0) + 1 };
    this.keep();
  }

  private put(node: Node, state: ImageCopyRecord['state']): void {
    const others = this.record.copies.filter((copy) => copy.node !== node);
    const lvolUuid = state === 'fetching' ? null : `lvol-${node}`;
    this.change({ copies: [...others, copyOn(node, { state, lvolUuid })] });
  }

  private drop(node: Node): void {
    Object.assign(this.at(node), { isSealed: false, hasDraft: false, kept: null });
  }

  /** Whether a copy is ready on a node that is there, but for one. */
  private isReadyBeside(node: Node): boolean {
    return NODES.some(
      (one) => one !== node && !this.at(one).isAway && this.listed(one)?.state === 'ready',
    );
  }

  private changesOf({ action, node }: Step): readonly (() => void)[] {
    const held = this.at(node);
    const copy = this.listed(node);
    switch (action) {
      case 'leave':
        return [() => (held.isAway = true)];
      case 'return':
        return [
          () => {
            held.isAway = false;
            // Its inventory tells what it has missed.
            this.keep();
          },
        ];
      case 'spread':
        if (held.isAway || copy !== undefined || !this.isReadyBeside(node)) return [];
        return [
          () => this.put(node, 'fetching'),
          () => (held.hasDraft = true),
          () => Object.assign(held, { hasDraft: false, isSealed: true }),
          () => this.put(node, 'ready'),
        ];
      case 'evict':
        if (held.isAway || copy?.state !== 'ready' || !this.isReadyBeside(node)) return [];
        return [
          () => this.put(node, 'deleting'),
          () => this.drop(node),
          () => this.change({ copies: this.record.copies.filter((one) => one.node !== node) }),
        ];
      case 'corrupt':
        return copy?.state === 'ready' && !held.isAway ? [() => this.put(node, 'corrupt')] : [];
      case 'repair':
        return copy?.state === 'corrupt' && !held.isAway ? [() => this.put(node, 'ready')] : [];
    }
  }

  live(step: Step, isLast: boolean): void {
    const changes = this.changesOf(step);
    for (const change of isLast ? changes.slice(0, step.reached) : changes) change();
  }

  delete(reached: number): void {
    const there = NODES.filter((node) => this.listed(node) !== undefined && !this.at(node).isAway);
    const changes = [
      () => this.change({ state: 'deleting', operation: 'op-delete' }),
      ...there.map((node) => () => {
        this.drop(node);
        this.wasDeleted = true;
      }),
    ];
    for (const change of changes.slice(0, reached)) change();
  }

  /** What is told when these nodes are silent. */
  evidence(silent: ReadonlySet<Node>): ImageEvidence {
    const heard = NODES.filter((node) => !silent.has(node));
    const records = heard.flatMap((node) => this.at(node).kept ?? []);
    const newest = records.toSorted((a, b) => comparePositions(positionOf(b), positionOf(a)))[0];
    const copies = heard.flatMap((node) => {
      const { isSealed, hasDraft } = this.at(node);
      if (!isSealed && !hasDraft) return [];
      const state = isSealed ? ('sealed' as const) : ('writing' as const);
      const of = { node, disk: `disk-of-${node}`, uuid: `lvol-${node}` };
      return [{ ...of, state, presence: 'present' as const, sizeBytes: 1, operation: 'op' }];
    });
    return {
      ...{ image: 'img-1', record: newest ?? null, copies, usedBy: [], isAccepted: false },
    };
  }
}

const node = fc.constantFrom(...NODES);
const step = fc.record<Step>({
  action: fc.constantFrom(...ACTIONS),
  node,
  reached: fc.integer({ min: 0, max: 4 }),
});
const life = fc.record({
  steps: fc.array(step, { maxLength: 14 }),
  silent: fc.uniqueArray(node, { maxLength: 3 }),
});

function recover(lived: Life, silent: readonly Node[]) {
  const away = new Set(silent);
  return planImage(lived.evidence(away), {
    ...{ stored: undefined, wasDeleted: false },
    answered: new Set(NODES.filter((one) => !away.has(one))),
  });
}

it('a recovery brings no image back as ready of which a deletion has taken a copy, whoever answers', () => {
  const isKeptAway = fc.property(
    life,
    fc.integer({ min: 0, max: 5 }),
    ({ steps, silent }, reached) => {
      const lived = new Life();
      steps.forEach((one, at) => lived.live(one, at === steps.length - 1));
      lived.delete(reached);
      const plan = recover(lived, silent);
      return !lived.wasDeleted || plan.kind !== 'put-back' || plan.record.state === 'deleting';
    },
  );
  expect(fc.check(isKeptAway, { numRuns: 3_000 }).counterexample).toBeNull();
});

it('a recovery brings an image that nobody deletes back with the copies that there are, when all nodes answer', () => {
  const isBack = fc.property(life, ({ steps }) => {
    const lived = new Life();
    for (const one of steps) lived.live(one, false);
    for (const name of NODES) lived.live({ action: 'return', node: name, reached: 1 }, false);
    const plan = recover(lived, []);
    if (plan.kind !== 'put-back' || plan.notes.length > 0) return false;
    const { state, copies } = plan.record;
    return state === 'ready' && JSON.stringify(copies) === JSON.stringify(lived.record.copies);
  });
  expect(fc.check(isBack, { numRuns: 1_000 }).counterexample).toBeNull();
});
