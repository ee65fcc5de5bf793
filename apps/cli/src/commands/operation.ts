import type { OperationState } from '@lariat/contracts';
import { type Command, Option } from 'commander';
import { given } from '../client/given.js';
import { operationError, untilEnded } from '../client/mutate.js';
import { operationDetails, operationTable } from '../output/views.js';
import { addListCommand } from './list-command.js';
import { online, type Runtime } from './runtime.js';

interface ListOptions {
  readonly volume?: string;
  readonly state?: OperationState;
  readonly kind?: string;
}

export function addOperationCommands(program: Command, runtime: Runtime): void {
  const operation = program
    .command('operation')
    .description('what is being done, what it waits for, and what came of it');

  addListCommand(operation, runtime, {
    name: 'operation.list',
    description: 'list the operations',
    filters: [
      new Option('--volume <id>', 'only those that work on the volume with this id'),
      new Option('--state <state>', 'running, undoing, succeeded, failed or stuck'),
      new Option('--kind <kind>', 'e.g. volume.create'),
    ],
    query: ({ volume, state, kind }: ListOptions) => given({ volume, state, kind }),
    table: operationTable,
    empty: operationTable([]),
    eventKind: 'operation',
    keyOf: ({ id }) => id,
  });

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
    .command('cancel')
    .description('have an operation undone, unless it is past that, and wait until it is')
    .argument('<operation>', 'its id')
    .action((id: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, context) => {
        const first = await session.request('operation.cancel', { operation: id });
        const ended = await untilEnded(context, session, first);
        context.printer.show(ended, () => operationDetails(ended));
        if (ended.error?.code !== 'OPERATION_CANCELLED') runtime.setExitCode(1);
      }),
    );

  operation
    .command('wait')
    .description('wait for the end of an operation; its failure is this command’s failure')
    .argument('<operation>', 'its id')
    .action((id: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, context) => {
        const first = await session.request('operation.get', { operation: id });
        const ended = await untilEnded(context, session, first);
        if (ended.state !== 'succeeded') throw operationError(ended);
        context.printer.show(ended, () => operationDetails(ended));
      }),
    );
}
