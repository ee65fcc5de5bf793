import type { Command } from 'commander';
import { given } from '../client/given.js';
import { orphanEnd, orphanTable } from '../output/orphan-views.js';
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

  orphan
    .command('list')
    .alias('ls')
    .description('list them, with when each is deleted by itself')
    .option('--node <node>', 'only those on this node')
    .action((options: { node?: string }, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('orphan.list', given({ node: options.node }));
        printer.show(reply, () => orphanTable(reply.orphans));
      }),
    );

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
