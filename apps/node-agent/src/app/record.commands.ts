import type { JournalPort } from '../ports/journal.port.js';
import type { HandlersOf } from './command-handlers.js';
import type { Survey } from './survey.js';

/** Commands on the copies of volumes' records that this node keeps; each may come again, and in any order. */
export function recordCommands(journal: JournalPort, survey: Survey): HandlersOf<'record'> {
  return {
    'record.keep': async ({ record }) => ({ held: await journal.keepRecord(record) }),
    'record.survey': ({ after }) => survey.page(after),
  };
}
