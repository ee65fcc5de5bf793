import { delay } from '@lariat/kernel';
import { type Command, Option } from 'commander';
import { given } from '../client/given.js';
import {
  LIST_FIELDS,
  type ListItem,
  type ListName,
  type ListQuery,
  type Listed,
  readList,
} from '../client/read-list.js';
import type { Session } from '../client/session.js';
import { type ItemChange, watchList } from '../client/watch-list.js';
import type { CommandContext } from '../context.js';
import type { Printer } from '../output/printer.js';
import { online, parseCount, type Runtime } from './runtime.js';

interface PageOptions {
  readonly limit?: number;
  readonly cursor?: string;
  readonly sort?: string;
  readonly descending?: boolean;
  readonly watch?: boolean;
}

/** One list as a command. */
export interface ListCommand<Name extends ListName, Options extends object> {
  readonly name: Name;
  readonly description: string;
  /** By what it may be ordered, when there is more than one; the first is what it is ordered by. */
  readonly orders?: readonly string[];
  readonly filters: readonly Option[];
  readonly query: (options: Options) => ListQuery<Name>;
  readonly table: (items: readonly ListItem<Name>[]) => string;
  readonly empty: string;
  /** Events of which kind tell that it may have changed. */
  readonly eventKind: string;
  readonly keyOf: (item: ListItem<Name>) => string;
}

/** Between two looks at a list that changes all the time. */
const WATCH_PAUSE_MS = 1_000;

/** `list` of a noun: its filters, order and pages, and what changes in it. */
export function addListCommand<Name extends ListName, Options extends object>(
  noun: Command,
  runtime: Runtime,
  list: ListCommand<Name, Options>,
): void {
  const command = noun.command('list').alias('ls').description(list.description);
  for (const filter of list.filters) command.addOption(filter);
  if (list.orders !== undefined)
    command.addOption(
      new Option('--sort <order>', `default ${list.orders[0] ?? ''}`).choices(list.orders),
    );
  command
    .option('--descending', 'in the opposite order')
    .option('--limit <number>', 'only a page of this many (default: all)', parseCount)
    .option('--cursor <cursor>', "with --limit: the page after the one that ended with this 'next'")
    .option('-w, --watch', 'go on with what changes, until Ctrl-C; with --json one document a line')
    .action((options: Options & PageOptions, self: Command) =>
      online(runtime, self, async (session, context) => {
        const { limit, cursor, sort, descending } = options;
        const page = given({ limit, cursor, sort, descending });
        const query: ListQuery<Name> = Object.assign({}, list.query(options), page);
        if (options.watch === true) await watch(session, context, list, query);
        else show(context.printer, list, await readList(session, list.name, query));
      }),
    );
}

function show<Name extends ListName, Options extends object>(
  printer: Printer,
  { name, table, empty }: ListCommand<Name, Options>,
  { items, ...facts }: Listed<ListItem<Name>>,
): void {
  printer.show({ [LIST_FIELDS[name]]: items, ...facts }, () =>
    items.length === 0 ? empty : table(items),
  );
  if (facts.next !== undefined)
    printer.note(`${items.length} of ${facts.total ?? 0}; the next: --cursor ${facts.next}`);
}

async function watch<Name extends ListName, Options extends object>(
  session: Session,
  { printer, interruption }: CommandContext,
  list: ListCommand<Name, Options>,
  query: ListQuery<Name>,
): Promise<void> {
  const { endOfEvents, readEvents } = await import('@lariat/messaging');
  const signal = interruption.takeOver();
  const { keyOf } = list;
  // From before the first look, so that nothing falls between.
  const after = await endOfEvents(session.connection);
  await watchList<ListItem<Name>>({
    events: readEvents(session.connection, {
      ...{ follow: true, filter: `${list.eventKind}.>`, after, signal },
    }),
    read: async () => (await readList(session, list.name, query)).items,
    keyOf,
    show: (changes, items) => showChanges(printer, list, changes, items),
    pause: () => delay(WATCH_PAUSE_MS, signal),
  });
}

/** In the columns of the whole list; the titles come with the first. */
function showChanges<Name extends ListName, Options extends object>(
  printer: Printer,
  { table, keyOf }: Pick<ListCommand<Name, Options>, 'table' | 'keyOf'>,
  changes: readonly ItemChange<ListItem<Name>>[],
  items: readonly ListItem<Name>[],
): void {
  const gone = changes.filter(({ type }) => type === 'gone').map(({ item }) => item);
  const shown = [...items, ...gone];
  const [titles = '', ...rows] = printer.json ? [] : table(shown).split('\n');
  const rowOf = new Map(shown.map((item, index) => [keyOf(item), rows[index] ?? '']));
  if (changes.every(({ type }) => type === 'listed') && changes.length === items.length)
    printer.say(titles);
  for (const change of changes) {
    const { type, item } = change;
    printer.showItem(
      change,
      () => `${rowOf.get(keyOf(item)) ?? ''}${type === 'gone' ? '  (gone)' : ''}`,
    );
  }
}
