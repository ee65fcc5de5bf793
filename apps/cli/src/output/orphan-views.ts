import type { OrphanOutcome, OrphanView } from '@lariat/contracts';
import { formatBytes } from '@lariat/kernel';
import { formatAge } from './durations.js';
import { formatTable } from './table.js';

export function orphanTable(orphans: readonly OrphanView[]): string {
  return formatTable<OrphanView>(
    [
      { title: 'ORPHAN', value: ({ id }) => id },
      { title: 'NODE', value: ({ node }) => node },
      { title: 'KIND', value: ({ kind }) => kind },
      { title: 'NAME', value: ({ name }) => name },
      { title: 'SIZE', align: 'right', value: ({ sizeBytes }) => formatBytes(sizeBytes) },
      { title: 'AGE', align: 'right', value: ({ foundAt }) => formatAge(foundAt) },
      { title: 'DELETED', value: ({ deletesAt, kept }) => deletesAt ?? `no: ${kept ?? ''}` },
    ],
    orphans,
  );
}

const ENDS: Readonly<Record<OrphanOutcome['outcome'], string>> = {
  deleted: 'deleted',
  adopted: 'left in place: a record names it by now',
  vanished: 'its node had it no more',
  forgotten: 'its node is gone: what is there is found again when it is back',
};

export const orphanEnd = ({ orphan, outcome }: OrphanOutcome): string =>
  `${orphan.kind} ${orphan.name} on ${orphan.node}: ${ENDS[outcome]}`;
