import { describe, expect, it } from 'vitest';
import { copyOn, imageRecord } from '../testing/image-record.js';
import { type ImageChange, applyImageChanges } from './apply-change.js';

const failure = { code: 'IMAGE_CHECKSUM_MISMATCH', kind: 'precondition', message: 'no' } as const;

describe('a change of an image', () => {
  it.each<[string, ImageChange]>([
    ['a claim', { type: 'claim', operation: 'op-1' }],
    ['a state', { type: 'move', event: 'delete' }],
    ['a copy', { type: 'put-copy', copy: copyOn('n2') }],
    ['the end of a copy', { type: 'drop-copy', disk: 'disk-of-n1', reason: 'gone' }],
    ['a size', { type: 'set-size', sizeBytes: 8 }],
  ])('is the same when a resumed operation sends it again: %s', (_what, change) => {
    const once = applyImageChanges(imageRecord(), [change]);
    const twice = applyImageChanges(once.record, [change]);
    expect(twice.record).toEqual(once.record);
    expect(twice.events).toEqual([]);
  });

  it('tells of each step once, in the past tense, with the reason of a failure', () => {
    const pending = imageRecord({ state: 'pending', copies: [] });
    const changes: ImageChange[] = [
      { type: 'move', event: 'restart' },
      { type: 'move', event: 'download' },
      { type: 'put-copy', copy: copyOn('n1', { state: 'fetching' }) },
      { type: 'drop-copy', disk: 'disk-of-n1', reason: 'undone' },
      { type: 'fail', failure },
      { type: 'release', operation: 'op-1' },
    ];
    const { record, events } = applyImageChanges(pending, changes);
    expect(record).toMatchObject({ state: 'failed', failure, copies: [] });
    expect(record.checksums.rootSha256).toBeNull();
    expect(events.map(({ type }) => type)).toEqual([
      'download-started',
      'copy-started',
      'copy-dropped',
      'failed',
    ]);
    expect(events.at(-1)?.data).toEqual({ failure });
  });

  it('is refused to an operation while another one has the image, and names that', () => {
    const held = imageRecord({ operation: 'op-2' });
    expect(() => applyImageChanges(held, [{ type: 'claim', operation: 'op-1' }])).toThrow(/op-2/);
    // Nor is a claim given back by one that does not have it.
    const released = applyImageChanges(held, [{ type: 'release', operation: 'op-1' }]);
    expect(released.record.operation).toBe('op-2');
  });

  it('never makes an image ready that was not imported, nor one that failed', () => {
    for (const state of ['pending', 'failed', 'downloading', 'deleting'] as const)
      expect(() =>
        applyImageChanges(imageRecord({ state }), [{ type: 'move', event: 'ready' }]),
      ).toThrow(/is (pending|failed|downloading|deleting)/);
  });

  it('wants ready copies alone: one that is being deleted is not called back', () => {
    const copies = [copyOn('n1'), copyOn('n2', { state: 'deleting' })];
    const disks = ['disk-of-n1', 'disk-of-n2'];
    const at = '2026-11-21T12:00:00.000Z';
    const { record } = applyImageChanges(imageRecord({ copies }), [
      { type: 'want-copies', disks, at },
    ]);
    expect(record.copies.map(({ wantedAt }) => wantedAt)).toEqual([at, null]);
  });
});
