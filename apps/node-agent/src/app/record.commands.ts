import { lariatError } from '@lariat/contracts';
import type { JournalPort } from '../ports/journal.port.js';
import type { HandlersOf } from './command-handlers.js';
import type { Survey } from './survey.js';

/** Commands on the copies of records that this node keeps; each may come again, and in any order. */
export function recordCommands(journal: JournalPort, survey: Survey): HandlersOf<'record'> {
  return {
    'record.keep': async (input) => {
      const kept =
        input.kind === 'image'
          ? await journal.keepRecord(input.kind, input.record)
          : await journal.keepRecord(input.kind, input.record);
      if (kept !== undefined) return kept;
      throw lariatError(
        'NOT_OWNED',
        `this node has nothing of ${input.kind} ${input.record.id} to keep a record of`,
      );
    },
    'record.survey': ({ after }) => survey.page(after),
  };
}
