import type { ImageView } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { imageDetails, imageTable, imageVerificationTable } from './image-views.js';
import { formatPace } from './progress.js';

const image = (given: Partial<ImageView> = {}): ImageView => ({
  ...{ id: 'img-1', name: 'debian', state: 'ready', format: 'qcow2', operation: null },
  ...{ sizeBytes: 8 * MIB, contentBytes: 8 * MIB - 5, allocatedBytes: 2 * MIB },
  source: { url: 'https://images/debian.qcow2' },
  ...{ checksums: ['sha256:aa', 'sha512:bb'], fileChecksums: ['sha256:cc'], rootSha256: 'dd' },
  copies: [
    {
      ...{ node: 'n1', disk: 'disk-1', state: 'ready', lvolUuid: 'u' },
      ...{ readyAt: '', checkedAt: null, wantedAt: null },
    },
  ],
  ...{ minimumCopies: 2, failure: null, createdAt: '', labels: {} },
  ...given,
});

describe('an image', () => {
  it('is shown with where it is, what it takes, and all of its sums', () => {
    const text = imageDetails(image());
    for (const part of ['debian', '8 MiB', '2 MiB', 'sha256:aa', 'sha256:cc', 'dd', 'n1'])
      expect(text).toContain(part);
    expect(imageTable([image()])).toMatch(/debian\s+ready\s+8 MiB\s+2 MiB\s+qcow2\s+n1/);
  });

  it('is shown with where it is from', () => {
    const path = '/srv/a.img';
    const textOf = (source: ImageView['source']): string => imageDetails(image({ source }));
    expect(textOf({ file: { node: null, path } })).toMatch(/source:\s+file \/srv\/a.img$/m);
    expect(textOf({ file: { node: 'n2', path } })).toMatch(/file \/srv\/a.img of node n2$/m);
    expect(textOf({ upload: { fileName: 'a.img', sizeBytes: 1 } })).toMatch(/upload of a.img$/m);
  });

  it('says which volume, or snapshot, it was made of', () => {
    const volume = { id: 'vol-1', name: 'db@before', snapshot: 'snp-1' };
    expect(imageDetails(image({ source: { volume } }))).toMatch(/source: +volume db@before/);
  });

  it('that failed says why, and one on its way what its copy is', () => {
    const failure = { code: 'IMAGE_EMPTY', kind: 'invalid', message: 'there is nothing' } as const;
    expect(imageDetails(image({ state: 'failed', failure, copies: [] }))).toContain(
      'IMAGE_EMPTY: there is nothing',
    );
    const copies = image().copies.map((copy) => ({ ...copy, state: 'fetching' as const }));
    expect(imageTable([image({ copies })])).toContain('n1 (fetching)');
  });

  it('that was verified shows which copies are wrong, and which were not read', () => {
    const base = { disk: 'disk-1', reason: null };
    const text = imageVerificationTable({
      ...{ image: 'img-1', verdict: 'differs', rootSha256: 'dd' },
      copies: [
        { ...base, node: 'n1', found: 'dd', isRight: true },
        { ...base, node: 'n2', found: 'ee', isRight: false },
        { ...base, node: 'n3', found: null, isRight: null, reason: 'it is down' },
      ],
    });
    expect(text).toMatch(/n2.*WRONG/);
    expect(text).not.toMatch(/n[13].*WRONG/);
    expect(text).toContain('not read: it is down');
  });
});

describe('the pace of an operation', () => {
  const progress = { done: 1, total: 2, unit: 'bytes' };
  it('is told with the time that is left, where they are known', () => {
    expect(formatPace({ ...progress, perSecond: 3 * MIB, timeLeftMs: 65_000 })).toBe(
      '3 MiB/s, 1 min 5 s left',
    );
    expect(formatPace({ ...progress, perSecond: 3 * MIB })).toBe('3 MiB/s');
    expect(formatPace(progress)).toBe('');
    expect(formatPace({ ...progress, perSecond: 0 })).toBe('');
  });
});
