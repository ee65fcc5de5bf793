import type { ImageCopyRecord, ImageRecord } from '@lariat/contracts';

export const copyOn = (node: string, given: Partial<ImageCopyRecord> = {}): ImageCopyRecord => ({
  ...{ node, disk: `disk-of-${node}`, state: 'ready', lvolUuid: `lvol-${node}` },
  ...{ readyAt: null, checkedAt: null, wantedAt: null },
  ...given,
});

/** A ready image of four clusters with one copy on n1. */
export const imageRecord = (given: Partial<ImageRecord> = {}): ImageRecord => ({
  ...{ id: 'img-1', name: 'debian', state: 'ready', format: 'raw' },
  ...{ sizeBytes: 4 * 1024 ** 2, contentBytes: 4 * 1024 ** 2, dataClusters: 2 },
  source: { url: 'https://images/debian' },
  checksums: { file: null, content: null, rootSha256: 'root' },
  copies: [copyOn('n1')],
  ...{ minimumCopies: 1, operation: null, failure: null, createdAt: '', labels: {} },
  ...given,
});
