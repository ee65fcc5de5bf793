import { formatBytes } from '@lariat/kernel';
import type { ProcessRecord } from '../cluster/cluster-file.js';
import { formatTable } from '../output/table.js';
import { residentBytes } from '../cluster/resident-memory.js';

export interface ProcessView extends ProcessRecord {
  /** Null where the system does not tell. */
  readonly residentBytes: number | null;
}

export const toProcessViews = (records: readonly ProcessRecord[]): readonly ProcessView[] =>
  records.map((record) => ({
    ...record,
    residentBytes: record.pid === null ? null : residentBytes(record.pid),
  }));

export function processTable(processes: readonly ProcessView[]): string {
  return formatTable<ProcessView>(
    [
      { title: 'PROCESS', value: (row) => row.name },
      { title: 'KIND', value: (row) => row.kind },
      { title: 'STATE', value: (row) => row.state },
      { title: 'PID', align: 'right', value: (row) => (row.pid === null ? '' : String(row.pid)) },
      { title: 'RESTARTS', align: 'right', value: (row) => String(row.restarts) },
      {
        title: 'MEMORY',
        align: 'right',
        value: (row) => (row.residentBytes === null ? '' : formatBytes(row.residentBytes)),
      },
    ],
    processes,
  );
}

/** Pages that several processes share are counted once for each. */
export function totalResidentBytes(processes: readonly ProcessView[]): number {
  return processes.reduce((total, row) => total + (row.residentBytes ?? 0), 0);
}
