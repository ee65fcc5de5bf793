import type { ImageCopyReport, ImageRecord } from '@lariat/contracts';
import { describe, expect, it } from 'vitest';
import { copyOn, imageRecord } from '../testing/image-record.js';
import { IMAGE_COPIES, findStrayImageRecords, isWorthKeeping } from './record-copies.js';

describe('copies of an image’s record', () => {
  it('belong on the nodes of its sealed copies; the ready ones bear witness', () => {
    const copies = [
      copyOn('n1'),
      copyOn('n2', { state: 'fetching' }),
      copyOn('n3', { state: 'corrupt' }),
      copyOn('n1', { disk: 'second' }),
    ];
    const record = imageRecord({ copies });
    expect(IMAGE_COPIES.keepersOf(record)).toEqual(['n1', 'n3']);
    expect(IMAGE_COPIES.witnessesOf(record)).toEqual(['n1']);
  });

  it.each<[string, Partial<ImageRecord>, boolean]>([
    ['it became ready', { state: 'ready', format: 'qcow2' }, true],
    ['it is to be deleted', { state: 'deleting', operation: 'op' }, true],
    ['a copy has come', { copies: [copyOn('n1'), copyOn('n2')] }, true],
    ['a copy was found corrupt', { copies: [copyOn('n1', { state: 'corrupt' })] }, true],
    ['its labels changed', { labels: { os: 'debian' } }, true],
    ['the minimum changed', { minimumCopies: 3 }, true],
    ['a volume has asked for a copy', { copies: [copyOn('n1', { wantedAt: 'now' })] }, false],
    ['an operation has claimed it', { operation: 'op' }, false],
    ['it is being imported', { state: 'verifying', sizeBytes: 1 }, false],
    ['its import has failed', { state: 'failed', copies: [] }, false],
  ])('follow when %s: %j is %s', (_when, given, expected) => {
    const before = imageRecord();
    expect(isWorthKeeping(before, { ...before, ...given })).toBe(expected);
  });

  it('are behind or ahead of the record by what a node says', () => {
    const record = imageRecord({ revision: 5 });
    const seen = (
      held: number | null,
      given: Partial<ImageRecord> = {},
      told: Partial<ImageCopyReport> = {},
    ) =>
      findStrayImageRecords(
        {
          node: 'n1',
          images: [
            {
              ...{ image: 'img-1', disk: 'disk-of-n1', state: 'sealed', uuid: 'u', sizeBytes: 1 },
              ...{ presence: 'present', allocatedClusters: 1, clones: 0 },
              ...(held === null ? {} : { record: { generation: 0, revision: held } }),
              ...told,
            },
          ],
        },
        () => ({ ...record, ...given }),
      ).map(({ is }) => is);
    expect(seen(null)).toEqual(['behind']);
    expect(seen(4)).toEqual(['behind']);
    expect(seen(5)).toEqual([]);
    expect(seen(6)).toEqual(['ahead']);
    expect(seen(4, { operation: 'op' })).toEqual([]);
    // A stray of the node: nothing is kept beside what is about to go.
    expect(seen(4, { copies: [] })).toEqual([]);
    expect(seen(null, { state: 'verifying' })).toEqual([]);
    expect(seen(null, {}, { state: 'writing' })).toEqual([]);
  });
});
