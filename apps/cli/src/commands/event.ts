import type { LariatEvent } from '@lariat/contracts';
import { type Command, InvalidArgumentError } from 'commander';
import { given } from '../client/given.js';
import { online, type Runtime } from './runtime.js';

function formatEvent(event: LariatEvent): string {
  const data = event.data === null ? '' : ` ${JSON.stringify(event.data)}`;
  return `${event.at}  ${event.kind}/${event.objectId}  ${event.type}  by ${event.actor}${data}`;
}

interface EventOptions {
  readonly follow?: boolean;
  readonly fromNow?: boolean;
  readonly filter?: string;
  readonly after?: number;
}

function parsePosition(text: string): number {
  const position = Number(text);
  if (Number.isSafeInteger(position) && position >= 0) return position;
  throw new InvalidArgumentError("Give the 'position' of an event, as --json shows it.");
}

export function addEventCommand(program: Command, runtime: Runtime): void {
  program
    .command('event')
    .description('show what happened; with --json one document a line')
    .option('-f, --follow', 'go on with what comes, until Ctrl-C')
    .option('--from-now', 'with --follow: without what is kept')
    .option('--after <position>', 'only those after the one with this position', parsePosition)
    .option('--filter <subject>', "what follows 'lariat.v1.event.', e.g. 'volume.>'")
    .action((options: EventOptions, command: Command) =>
      online(runtime, command, async (session, { printer, interruption }) => {
        const { readEvents } = await import('@lariat/messaging');
        const signal = options.follow === true ? interruption.takeOver() : undefined;
        const events = readEvents(session.connection, {
          follow: options.follow === true,
          fromNow: options.fromNow === true,
          ...given({ filter: options.filter, after: options.after, signal }),
        });
        for await (const event of events) printer.showItem(event, () => formatEvent(event));
      }),
    );
}
