import type { ReplicaChecksums } from '@lariat/contracts';
import type { Command } from 'commander';
import { given } from '../client/given.js';
import { formatTable } from '../output/table.js';
import { rebuiltDetails, replicaTable, volumeDetails } from '../output/views.js';
import {
  change,
  dryRun,
  type DryRunOption,
  noWait,
  online,
  type Runtime,
  type WaitOption,
} from './runtime.js';

interface RebuildOptions extends WaitOption {
  readonly replica?: string;
  readonly reuse: boolean;
}

interface RemoveOptions extends WaitOption, DryRunOption {
  readonly acceptDataLoss?: boolean;
}

interface MoveOptions extends WaitOption, DryRunOption {
  readonly toNode?: string;
  readonly toDisk?: string;
}

function checksumTable(reply: ReplicaChecksums): string {
  const table = formatTable<ReplicaChecksums['replicas'][number]>(
    [
      { title: 'REPLICA', value: (row) => row.replica },
      { title: 'NODE', value: (row) => row.node },
      { title: 'SHA-256', value: (row) => row.sha256 },
    ],
    reply.replicas,
  );
  return `${table}\n\n${reply.identical ? 'identical' : 'NOT IDENTICAL'}`;
}

export function addReplicaCommands(program: Command, runtime: Runtime): void {
  const replica = program.command('replica').description('the copies of a volume');

  replica
    .command('list')
    .alias('ls')
    .description('list the replicas of a volume, with the progress of rebuilds')
    .argument('<volume>', 'name or id')
    .action((volume: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('replica.list', { volume });
        printer.show(reply, () => replicaTable(reply.replicas));
      }),
    );

  replica
    .command('rebuild')
    .description(
      'bring a lost replica that is back up to date, or make a new one elsewhere, while the volume is used',
    )
    .argument('<volume>', 'name or id')
    .option(
      '--replica <replica>',
      'the faulted replica to bring back or replace (default: one is chosen)',
    )
    .option('--no-reuse', 'make a new one, also where the lost one is back')
    .addOption(noWait())
    .action((volume: string, options: RebuildOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'replica.rebuild',
          {
            volume,
            ...given({
              replica: options.replica,
              reuse: options.reuse ? undefined : false,
            }),
          },
          options.wait,
          rebuiltDetails,
        ),
      ),
    );

  replica
    .command('remove')
    .alias('rm')
    .description('take a replica away from a volume')
    .argument('<volume>', 'name or id')
    .argument('<replica>', 'id of the replica')
    .option('--accept-data-loss', 'also when it is the last one with the data')
    .addOption(dryRun())
    .addOption(noWait())
    .action((volume: string, id: string, options: RemoveOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'replica.remove',
          {
            volume,
            replica: id,
            ...given({ acceptDataLoss: options.acceptDataLoss, dryRun: options.dryRun }),
          },
          options.wait,
          volumeDetails,
        ),
      ),
    );

  replica
    .command('move')
    .description('make a replica anew on another disk, then take the old one away')
    .argument('<volume>', 'name or id')
    .argument('<replica>', 'id of the replica')
    .option('--to-node <node>', 'to a disk of this node')
    .option('--to-disk <disk>', 'to this disk (name or id)')
    .addOption(dryRun())
    .addOption(noWait())
    .action((volume: string, id: string, options: MoveOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'replica.move',
          {
            volume,
            replica: id,
            ...given({ toNode: options.toNode, toDisk: options.toDisk, dryRun: options.dryRun }),
          },
          options.wait,
          volumeDetails,
        ),
      ),
    );

  replica
    .command('checksum')
    .description('compare the replicas of a detached volume, or of one of its snapshots')
    .argument('<volume>', 'name or id')
    .option('--snapshot <snapshot>', 'compare this snapshot; the volume may be attached')
    .action((volume: string, options: { snapshot?: string }, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('replica.checksum', {
          volume,
          ...given({ snapshot: options.snapshot }),
        });
        printer.show(reply, () => checksumTable(reply));
        if (!reply.identical) runtime.setExitCode(1);
      }),
    );
}
