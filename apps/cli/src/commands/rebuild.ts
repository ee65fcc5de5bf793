import { type Command, InvalidArgumentError, Option } from 'commander';
import { given } from '../client/given.js';
import { volumeDetails } from '../output/views.js';
import { type Runtime, online } from './runtime.js';

interface UpdateOptions {
  readonly pause?: true;
  readonly resume?: true;
  readonly cancel?: true;
  readonly limit?: number | null;
}

function parseLimit(text: string): number | null {
  if (text === 'default') return null;
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Give MiB a second as a whole number, or 'default'.");
}

export function addRebuildCommands(program: Command, runtime: Runtime): void {
  const rebuild = program.command('rebuild').description('how rebuilds of a volume go on');

  rebuild
    .command('update')
    .description('pause, resume, cancel or slow down the rebuilds of a volume')
    .argument('<volume>', 'name or id')
    .option('--pause', 'begin none, and let one that runs wait before its next piece')
    .addOption(new Option('--resume', 'let them go on').conflicts(['pause', 'cancel']))
    .option('--cancel', 'end and undo the one that runs, and pause')
    .option(
      '--limit <MiB/s>',
      "what a rebuild may write, from its next piece on; 0: no limit; 'default': as the service is set",
      parseLimit,
    )
    .action((volume: string, options: UpdateOptions, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const { pause, resume, cancel, limit } = options;
        const view = await session.request('rebuild.update', {
          volume,
          ...given({
            paused: pause ?? (resume === undefined ? undefined : false),
            cancel,
            mibPerSecond: limit,
          }),
        });
        printer.show(view, () => volumeDetails(view));
      }),
    );
}
