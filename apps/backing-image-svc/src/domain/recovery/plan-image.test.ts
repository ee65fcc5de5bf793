import type { ImageEvidence, ImageRecord } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { copyOn, imageRecord } from '../../testing/image-record.js';
import { type KnownOfImage, planImage } from './plan-image.js';

type Found = ImageEvidence['copies'][number];

const foundOn = (node: string, given: Partial<Found> = {}): Found => ({
  ...{ node, disk: `disk-of-${node}`, state: 'sealed', presence: 'present' },
  ...{ uuid: `lvol-${node}`, sizeBytes: 1, operation: 'op-1' },
  ...given,
});
const kept = (given: Partial<ImageRecord> = {}): ImageRecord =>
  imageRecord({ revision: 7, copies: [copyOn('n1'), copyOn('n2')], ...given });
const told = (given: Partial<ImageEvidence> = {}): ImageEvidence => ({
  ...{ image: 'img-1', record: kept(), copies: [foundOn('n1'), foundOn('n2')] },
  ...{ usedBy: [], isAccepted: false },
  ...given,
});
const plan = (evidence: ImageEvidence, known: Partial<KnownOfImage> = {}) =>
  planImage(evidence, {
    ...{ stored: undefined, wasDeleted: false, answered: new Set(['n1', 'n2']) },
    ...known,
  });
const notesOf = (made: ReturnType<typeof plan>): string =>
  'notes' in made ? made.notes.join('\n') : '';

describe('an image that the store has lost', () => {
  it('is put back as it was when all its copies are there, above all that was written before', () => {
    expect(plan(told())).toEqual({
      kind: 'put-back',
      record: { ...kept(), generation: 1, revision: 8 },
      notes: [],
    });
  });

  it('is not when it is known to be deleted, and is left without a record or a copy', () => {
    expect(plan(told(), { wasDeleted: true }).kind).toBe('deleted');
    const draft = foundOn('n1', { state: 'writing' });
    const unknown = plan(told({ record: null, copies: [draft] }));
    expect(unknown.kind).toBe('left');
    expect(notesOf(unknown)).toContain("a draft on disk disk-of-n1 of node 'n1'");
    const gone = plan(told({ copies: [foundOn('n1', { presence: 'absent' })], isAccepted: true }));
    expect(gone.kind).toBe('left');
    expect(notesOf(gone)).toContain('its content is gone');
  });

  it.each([
    ['is gone from a node that answers', [foundOn('n1')], ['n1', 'n2'], "'n2' answers"],
    ['is on a node that is silent', [foundOn('n1')], ['n1'], "'n2', which has a copy"],
    [
      'is absent from its disk',
      [foundOn('n1'), foundOn('n2', { presence: 'absent' })],
      ['n1', 'n2'],
      "'n2' answers",
    ],
  ] as const)(
    'is in doubt when a copy %s: it may have been deleted; not when a volume names it, or on the word of an operator',
    (_what, copies, answered, why) => {
      const known = { answered: new Set(answered) };
      const doubtful = plan(told({ copies }), known);
      expect(doubtful.kind).toBe('in-doubt');
      expect(notesOf(doubtful)).toContain(why);
      expect(notesOf(doubtful)).toContain('--accept-data-loss');
      for (const given of [{ usedBy: ['v1'] }, { isAccepted: true }]) {
        const made = plan(told({ copies, ...given }), known);
        expect(made).toMatchObject({ kind: 'put-back', record: { state: 'ready' } });
        // What a silent node has is not known to be gone (invariant 2).
        const left = answered.length === 1 ? ['n1', 'n2'] : ['n1'];
        expect('record' in made && made.record?.copies.map(({ node }) => node)).toEqual(left);
      }
    },
  );

  it('keeps a copy that its node cannot look at just now', () => {
    const copies = [foundOn('n1'), foundOn('n2', { presence: 'unknown' })];
    expect(plan(told({ copies }))).toMatchObject({
      kind: 'put-back',
      record: { copies: kept().copies },
    });
  });

  it('forgets a copy that was being fetched, while its draft is there', () => {
    const record = kept({ copies: [copyOn('n1'), copyOn('n2', { state: 'fetching' })] });
    const draft = foundOn('n2', { state: 'writing' });
    expect(plan(told({ record, copies: [foundOn('n1'), draft] }))).toMatchObject({
      ...{ kind: 'put-back', record: { copies: [copyOn('n1')] }, notes: [] },
    });
  });

  it.each(['fetching', 'corrupt', 'deleting'] as const)(
    'is in doubt also when a copy is gone that was %s: it may have become ready, and been deleted with the image',
    (state) => {
      const record = kept({ copies: [copyOn('n1'), copyOn('n2', { state })] });
      const given = { record, copies: [foundOn('n1')] };
      expect(plan(told(given)).kind).toBe('in-doubt');
      expect(plan(told({ ...given, isAccepted: true }))).toMatchObject({
        ...{ kind: 'put-back', record: { copies: [copyOn('n1')] } },
      });
    },
  );

  it('takes a copy that nobody is known to have read back for none that may be used', () => {
    const fetching = [copyOn('n1'), copyOn('n2', { state: 'fetching' })];
    for (const [listed, second] of [
      [fetching, foundOn('n2')],
      [[copyOn('n1')], foundOn('n3')],
    ] as const) {
      const record = kept({ copies: listed });
      const made = plan(told({ record, copies: [foundOn('n1'), second] }));
      expect(made).toMatchObject({
        kind: 'put-back',
        record: {
          copies: [
            { state: 'ready' },
            { node: second.node, state: 'corrupt', lvolUuid: second.uuid },
          ],
        },
      });
      expect(notesOf(made)).toContain("'lariat image verify debian'");
    }
    // A new one was made since the record: it is another lvol.
    const other = plan(told({ copies: [foundOn('n1'), foundOn('n2', { uuid: 'new' })] }));
    expect(other).toMatchObject({
      record: { copies: [{ state: 'ready' }, { state: 'corrupt', lvolUuid: 'new' }] },
    });
  });

  it('whose deletion had begun is back as that, unless a volume names it', () => {
    const record = kept({ state: 'deleting', operation: 'op-gone' });
    const made = plan(told({ record, copies: [foundOn('n1')] }));
    expect(made).toMatchObject({
      kind: 'put-back',
      record: { state: 'deleting', operation: null, copies: [copyOn('n1')] },
    });
    expect(notesOf(made)).toContain("'lariat image delete debian' ends it");
    const used = plan(told({ record, usedBy: ['v1'] }));
    expect(used).toMatchObject({ kind: 'put-back', record: { state: 'ready', operation: null } });
    expect(notesOf(used)).toContain('volumes (v1) use it');
  });
});

describe('an image that the store has', () => {
  it('stays as it is when no node keeps a newer record, or only an operation’s', () => {
    for (const stored of [kept(), kept({ revision: 9, copies: [] }), kept({ generation: 1 })])
      expect(plan(told(), { stored })).toEqual({ kind: 'on-record', record: stored });
    const none = told({ record: null, copies: [] });
    expect(plan(none, { stored: kept(), wasDeleted: true }).kind).toBe('on-record');
    const busy = plan(told(), { stored: kept({ revision: 3, operation: 'op-2' }) });
    expect(busy.kind).toBe('left');
    expect(notesOf(busy)).toContain('op-2');
  });

  it('is as its nodes keep it when the store was set back', () => {
    const stored = kept({ revision: 3, state: 'verifying', copies: [] });
    expect(plan(told(), { stored })).toMatchObject({
      kind: 'put-back',
      record: { ...kept(), generation: 1, revision: 8 },
    });
  });
});
