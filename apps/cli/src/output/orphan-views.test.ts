import type { OrphanView, RemovedNodeView } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { removedNode } from './node-removal-view.js';
import { orphanEnd, orphanTable } from './orphan-views.js';

const orphan = (given: Partial<OrphanView> = {}): OrphanView => ({
  ...{ id: 'orph-1', node: 'n1', kind: 'lvol', name: 'disk-1/rep-1', uuid: 'u', disk: 'disk-1' },
  ...{ sizeBytes: 8 * MIB, allocatedBytes: MIB, beneath: [], volume: null, since: '' },
  ...{ foundAt: new Date().toISOString(), deletesAt: '2026-11-23T00:00:00.000Z' },
  ...{ kept: null, deletable: true },
  ...given,
});

describe('an orphan', () => {
  it('is shown with where and what it is, and when it is deleted, or why not', () => {
    const kept = orphan({ deletesAt: null, kept: 'others stand on it' });
    const lines = orphanTable([orphan(), kept]).split('\n');
    expect(lines[1]).toMatch(/orph-1\s+n1\s+lvol\s+disk-1\/rep-1\s+8 MiB.*2026-11-23T00:00/);
    expect(lines[2]).toContain('no: others stand on it');
  });

  it('says what became of it', () => {
    expect(orphanEnd({ orphan: orphan(), outcome: 'deleted' })).toBe(
      'lvol disk-1/rep-1 on n1: deleted',
    );
    expect(orphanEnd({ orphan: orphan(), outcome: 'adopted' })).toContain('left in place');
  });
});

describe('a node that was removed', () => {
  const removal = { detached: [], dropped: [], lost: [], left: [], lostImages: [], orphans: 0 };
  const show = (given: Partial<RemovedNodeView['removal']>): string =>
    removedNode({ name: 'n3', removal: { ...removal, ...given } } as unknown as RemovedNodeView);

  it('is shown with what became of what it had, and nothing else', () => {
    expect(show({})).toBe('removed node n3');
    const there = { volume: 'vol-1', name: 'db', replica: 'rep-1' };
    expect(show({ detached: ['db'], lost: [there], orphans: 2 }).split('\n')).toEqual([
      ...['removed node n3', 'detached: db', 'out of reach until the node is back: db (rep-1)'],
      'orphans forgotten: 2',
    ]);
  });
});
