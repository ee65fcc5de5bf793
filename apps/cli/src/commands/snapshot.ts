import type { Command } from 'commander';
import { snapshotTable, verificationTable, volumeDetails } from '../output/views.js';
import { change, noWait, online, type Runtime, type WaitOption } from './runtime.js';

export function addSnapshotCommands(program: Command, runtime: Runtime): void {
  const snapshot = program.command('snapshot').description('points in time of a volume');

  snapshot
    .command('create')
    .description('keep what the volume holds now')
    .argument('<volume>', 'name or id')
    .argument('<snapshot>', 'a DNS label: a-z, 0-9 and -')
    .addOption(noWait())
    .action((volume: string, name: string, options: WaitOption, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'snapshot.create',
          { volume, snapshot: name },
          options.wait,
          (reply) => snapshotTable([reply]),
        ),
      ),
    );

  snapshot
    .command('create-group')
    .description('keep what several volumes hold now, at one point in time')
    .argument('<snapshot>', 'a DNS label: the name of each snapshot')
    .argument('<volumes...>', 'names or ids')
    .addOption(noWait())
    .action((name: string, volumes: string[], options: WaitOption, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'snapshot.create-group',
          { volumes, snapshot: name },
          options.wait,
          ({ snapshots }) => snapshotTable(snapshots),
        ),
      ),
    );

  snapshot
    .command('list')
    .alias('ls')
    .description('list the snapshots of a volume')
    .argument('<volume>', 'name or id')
    .action((volume: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('snapshot.list', { volume });
        printer.show(reply, () =>
          reply.snapshots.length === 0
            ? `no snapshots; make one with 'lariat snapshot create ${volume} NAME'`
            : snapshotTable(reply.snapshots),
        );
      }),
    );

  snapshot
    .command('get')
    .description('show one snapshot')
    .argument('<volume>', 'name or id')
    .argument('<snapshot>', 'name or id')
    .action((volume: string, name: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('snapshot.get', { volume, snapshot: name });
        printer.show(reply, () => snapshotTable([reply]));
      }),
    );

  snapshot
    .command('revert')
    .description('give a detached volume the content of a snapshot; what came later is lost')
    .argument('<volume>', 'name or id')
    .argument('<snapshot>', 'name or id')
    .addOption(noWait())
    .action((volume: string, name: string, options: WaitOption, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'snapshot.revert',
          { volume, snapshot: name },
          options.wait,
          volumeDetails,
        ),
      ),
    );

  snapshot
    .command('verify')
    .description(
      'read it whole on every replica, and make anew one whose copy is not as the others',
    )
    .argument('<volume>', 'name or id')
    .argument('<snapshot>', 'name or id')
    .option('--no-repair', 'only tell what differs')
    .addOption(noWait())
    .action(
      (volume: string, name: string, options: WaitOption & { repair: boolean }, command: Command) =>
        online(runtime, command, (session, context) =>
          change(
            session,
            context,
            'snapshot.verify',
            { volume, snapshot: name, repair: options.repair },
            options.wait,
            (reply) => {
              if (reply.verdict === 'differs' || reply.verdict === 'undecided')
                runtime.setExitCode(1);
              return verificationTable(reply);
            },
          ),
        ),
    );

  snapshot
    .command('delete')
    .alias('rm')
    .description('delete a snapshot; the volume keeps its content')
    .argument('<volume>', 'name or id')
    .argument('<snapshot>', 'name or id')
    .addOption(noWait())
    .action((volume: string, name: string, options: WaitOption, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'snapshot.delete',
          { volume, snapshot: name },
          options.wait,
          (reply) => `deleted snapshot ${reply.name} (${reply.id})`,
        ),
      ),
    );
}
