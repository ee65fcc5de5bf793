import type { DiskVerdict, PlacementExplanation } from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';
import { formatTable } from './table.js';

/** The explanation in an error's details; undefined when it has none. */
export function placementExplanationOf(details: unknown): PlacementExplanation | undefined {
  if (typeof details !== 'object' || details === null) return undefined;
  const { summary, disks } = details as Partial<PlacementExplanation>;
  const isThere = typeof summary === 'string' && Array.isArray(disks);
  return isThere ? (details as PlacementExplanation) : undefined;
}

/** Why a placement failed, a line a disk. */
export function placementTable({ disks, omittedDisks }: PlacementExplanation): string {
  if (disks.length === 0) return 'There is no disk.';
  const table = formatTable<DiskVerdict>(
    [
      { title: 'NODE', value: (verdict) => verdict.node },
      { title: 'DISK', value: (verdict) => verdict.name },
      { title: 'ZONE', value: (verdict) => verdict.zone },
      { title: 'FREE', align: 'right', value: (verdict) => formatBytes(verdict.freeBytes) },
      { title: 'TAKES', align: 'right', value: (verdict) => String(verdict.chosen) },
      {
        title: 'WHY NO MORE',
        value: ({ reasons }) => reasons.map(({ message }) => message).join('; '),
      },
    ],
    disks,
  );
  return omittedDisks === 0 ? table : `${table}\nand ${omittedDisks} more disk(s)`;
}
