import type { Command } from 'commander';
import { given } from '../client/given.js';
import { deadLetterTable } from '../output/dead-letters.js';
import { online, parseCount, type Runtime } from './runtime.js';

export function addDeadLetterCommands(program: Command, runtime: Runtime): void {
  const deadLetter = program
    .command('dead-letter')
    .description('messages that could not be handled, and why');

  deadLetter
    .command('list')
    .alias('ls')
    .description('list the newest ones, oldest first; --json shows how each begins')
    .option('--limit <n>', 'at most this many (default 100)', parseCount)
    .action((options: { limit?: number }, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('dead-letter.list', given({ limit: options.limit }));
        printer.show(reply, () => deadLetterTable(reply.deadLetters, reply.kept));
      }),
    );
}
