import { type Command, Option } from 'commander';
import { given } from '../client/given.js';
import { orphanEnd, orphanTable } from '../output/orphan-views.js';
import { addListCommand } from './list-command.js';
import {
  change,
  dryRun,
  type DryRunOption,
  noWait,
  online,
  type Runtime,
  type WaitOption,
} from './runtime.js';

export function addOrphanCommands(program: Command, runtime: Runtime): void {
  const orphan = program
    .command('orphan')
    .description('what nodes have and no record explains: leftovers of crashes and lost nodes');

  addListCommand(orphan, runtime, {
    name: 'orphan.list',
    description: 'list them, with when each is deleted by itself',
    filters: [new Option('--node <node>', 'only those on this node')],
    query: ({ node }: { node?: string }) => given({ node }),
    table: orphanTable,
    empty: orphanTable([]),
    eventKind: 'orphan',
    keyOf: ({ id }) => id,
  });

  orphan
    .command('delete')
    .alias('rm')
    .description('delete one now; one that has an owner by then is left in place')
    .argument('<orphan>', 'its id')
    .addOption(dryRun())
    .addOption(noWait())
    .action((id: string, options: WaitOption & DryRunOption, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'orphan.delete',
          { orphan: id, ...given({ dryRun: options.dryRun }) },
          options.wait,
          (reply) => orphanEnd(reply),
        ),
      ),
    );
}
