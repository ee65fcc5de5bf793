import type { Command } from 'commander';
import { given } from '../client/given.js';
import { followOperation, isEnded, operationError } from '../client/mutate.js';
import { operationDetails, operationTable } from '../output/views.js';
import { online, type Runtime } from './runtime.js';

export function addOperationCommands(program: Command, runtime: Runtime): void {
  const operation = program
    .command('operation')
    .description('what is being done, what it waits for, and what came of it');

  operation
    .command('list')
    .alias('ls')
    .description('list the operations')
    .option('--volume <id>', 'only those that work on the volume with this id')
    .action((options: { volume?: string }, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('operation.list', given({ volume: options.volume }));
        printer.show(reply, () => operationTable(reply.operations));
      }),
    );

  operation
    .command('get')
    .description('show one operation')
    .argument('<operation>', 'its id')
    .action((id: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('operation.get', { operation: id });
        printer.show(reply, () => operationDetails(reply));
      }),
    );

  operation
    .command('wait')
    .description('wait for the end of an operation; its failure is this command’s failure')
    .argument('<operation>', 'its id')
    .action((id: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, context) => {
        const first = await session.request('operation.get', { operation: id });
        const ended = isEnded(first.state) ? first : await followOperation(context, session, first);
        if (ended.state !== 'succeeded') throw operationError(ended);
        context.printer.show(ended, () => operationDetails(ended));
      }),
    );
}
