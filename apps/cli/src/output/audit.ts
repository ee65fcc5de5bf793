import type { AuditEntry } from '@lariat/contracts';
import { formatDuration } from './durations.js';
import { formatTable } from './table.js';

function resultOf({ result, code }: AuditEntry): string {
  return code === null ? result : `${result}: ${code}`;
}

export function auditTable(entries: readonly AuditEntry[]): string {
  return formatTable<AuditEntry>(
    [
      { title: 'AT', value: ({ at }) => at },
      { title: 'ACTOR', value: ({ actor }) => actor },
      { title: 'REQUEST', value: ({ request }) => request },
      {
        title: 'ON',
        value: ({ things }) =>
          Object.entries(things)
            .map(([key, value]) => `${key}=${value}`)
            .join(' '),
      },
      { title: 'RESULT', value: resultOf },
      {
        title: 'TOOK',
        align: 'right',
        value: ({ durationMs }) => (durationMs === null ? '-' : formatDuration(durationMs)),
      },
      { title: 'TRACE', value: ({ traceId }) => traceId },
    ],
    entries,
  );
}
