import type { DeadLetterView } from '@lariat/contracts';
import { formatAge } from './durations.js';
import { formatTable } from './table.js';

export function deadLetterTable(letters: readonly DeadLetterView[], kept: number): string {
  const table = formatTable<DeadLetterView>(
    [
      { title: 'NUMBER', align: 'right', value: ({ sequence }) => String(sequence) },
      { title: 'STREAM', value: ({ stream }) => stream },
      { title: 'SUBJECT', value: ({ subject }) => subject },
      { title: 'TRIES', align: 'right', value: ({ deliveryCount }) => String(deliveryCount) },
      { title: 'AGE', align: 'right', value: ({ at }) => formatAge(at) },
      { title: 'REASON', value: ({ reason }) => `${reason.code}: ${reason.message}` },
    ],
    letters,
  );
  return kept > letters.length
    ? `${table}\n\n${kept - letters.length} older ones are kept.`
    : table;
}
