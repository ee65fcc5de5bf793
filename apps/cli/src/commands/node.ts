import { resolve } from 'node:path';
import type { NodeState } from '@lariat/contracts';
import { type Command, Option } from 'commander';
import { given } from '../client/given.js';
import { removedNode } from '../output/node-removal-view.js';
import { addListCommand } from './list-command.js';
import { diskDetails, diskTable, nodeDetails, nodeTable } from '../output/views.js';
import {
  change,
  collect,
  dryRun,
  type DryRunOption,
  noWait,
  online,
  parseCount,
  parseReserve,
  parseSize,
  type Runtime,
  type WaitOption,
} from './runtime.js';

export function addNodeCommands(program: Command, runtime: Runtime): void {
  const node = program.command('node').description('machines that hold replicas and use volumes');

  addListCommand(node, runtime, {
    name: 'node.list',
    description: 'list the nodes',
    filters: [new Option('--state <state>', 'ready, suspect or down')],
    query: ({ state }: { state?: NodeState }) => given({ state }),
    table: nodeTable,
    empty: nodeTable([]),
    eventKind: 'node',
    keyOf: ({ name }) => name,
  });

  const one = (verb: 'get' | 'cordon' | 'uncordon', description: string): void => {
    node
      .command(verb)
      .description(description)
      .argument('<node>')
      .action((name: string, _options: unknown, command: Command) =>
        online(runtime, command, async (session, { printer }) => {
          const reply = await session.request(`node.${verb}`, { node: name });
          printer.show(reply, () => nodeDetails(reply));
        }),
      );
  };
  one('get', 'show one node with its disks');
  one('cordon', 'place no new replicas and run no new engines on a node; what it has goes on');
  one('uncordon', 'let a node get new replicas and engines again, after a cordon or a drain');

  node
    .command('update')
    .description('change what placement goes by; what is not given stays as it is')
    .argument('<node>')
    .option('--tag <tag>', 'its tags from now on; may be given again', collect)
    .option('--no-tags', 'no tags from now on')
    .option('--zone <zone>', 'its failure zone')
    .option('--no-zone', 'the failure zone that its agent was started with')
    .action((name: string, options: UpdateNodeOptions, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const { zone } = options;
        const reply = await session.request('node.update', {
          node: name,
          ...tagsOf(options),
          ...(zone === undefined ? {} : { zone: zone === false ? null : zone }),
        });
        printer.show(reply, () => nodeDetails(reply));
      }),
    );

  node
    .command('drain')
    .description(
      'cordon a node and move all that it has to others; it fails, and says why, when something stays',
    )
    .argument('<node>')
    .option(
      '--at-once <count>',
      'volumes whose replicas are moved side by side (default 1)',
      parseCount,
    )
    .addOption(dryRun())
    .addOption(noWait())
    .action((name: string, options: DrainOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'node.drain',
          { node: name, ...given({ atOnce: options.atOnce, dryRun: options.dryRun }) },
          options.wait,
          (reply) =>
            `drained node ${reply.node}: ${reply.movedReplicas} replica(s) and ${reply.movedCopies} copy(ies) of images have left`,
        ),
      ),
    );

  node
    .command('restart-target')
    .description("start a node's target again in place, from the binary that is there now")
    .argument('<node>')
    .option('--force', 'also when a volume has its only replica there and may see errors')
    .addOption(dryRun())
    .addOption(noWait())
    .action((name: string, options: RestartTargetOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'node.restart-target',
          { node: name, ...given({ force: options.force, dryRun: options.dryRun }) },
          options.wait,
          ({ node: restarted, from, to }) =>
            from === to
              ? `restarted the target of ${restarted}: ${to}`
              : `restarted the target of ${restarted}: ${to}, was ${from}`,
        ),
      ),
    );

  node
    .command('remove')
    .alias('rm')
    .description('give up a node that is down: what it held is taken off the records')
    .argument('<node>')
    .option('--accept-data-loss', 'also when it has all that is left of a volume or an image')
    .addOption(dryRun())
    .addOption(noWait())
    .action((name: string, options: RemoveNodeOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'node.remove',
          {
            node: name,
            ...given({ acceptDataLoss: options.acceptDataLoss, dryRun: options.dryRun }),
          },
          options.wait,
          (reply) => removedNode(reply),
        ),
      ),
    );
}

interface DrainOptions extends WaitOption, DryRunOption {
  readonly atOnce?: number;
}

interface RemoveDiskOptions extends WaitOption, DryRunOption {
  readonly evacuate?: boolean;
}

interface RestartTargetOptions extends WaitOption, DryRunOption {
  readonly force?: boolean;
}

interface RemoveNodeOptions extends WaitOption, DryRunOption {
  readonly acceptDataLoss?: boolean;
}

interface TagOptions {
  readonly tag?: string[];
  /** Commander's reading of `--no-tags`. */
  readonly tags: boolean;
}

interface UpdateNodeOptions extends TagOptions {
  /** False: `--no-zone`. */
  readonly zone?: string | false;
}

interface UpdateDiskOptions extends TagOptions {
  readonly defaultTags?: boolean;
  readonly reserve?: number;
  readonly overProvisioning?: number;
}

function tagsOf({ tag, tags }: TagOptions): { readonly tags?: string[] } {
  if (!tags) return { tags: [] };
  return tag === undefined ? {} : { tags: tag };
}

interface AddDiskOptions extends WaitOption {
  readonly name?: string;
  readonly size?: number;
  readonly tag?: string[];
  readonly erase?: boolean;
}

export function addDiskCommands(program: Command, runtime: Runtime): void {
  const disk = program.command('disk').description('block devices and files that hold replicas');

  disk
    .command('list')
    .alias('ls')
    .description('list the disks, with what is promised to replicas on them')
    .option('--node <node>', 'only those of this node')
    .action((options: { node?: string }, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('disk.list', given({ node: options.node }));
        printer.show(reply, () => diskTable(reply.disks));
      }),
    );

  disk
    .command('add')
    .description('give a node a disk; one that holds anything is refused, unless it is erased')
    .argument('<node>')
    .argument('<path>', 'block device, or a file that is or will be the disk, on the node')
    .option('--name <name>', 'its name on the node')
    .option('--size <size>', 'needed to make a file that does not exist yet', parseSize)
    .option('--tag <tag>', 'a tag; may be given again', collect)
    .option('--erase', 'lose what the disk holds, such as a file system or another store')
    .addOption(noWait())
    .action((node: string, path: string, options: AddDiskOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'disk.add',
          {
            node,
            path: resolve(path),
            ...given({
              name: options.name,
              sizeBytes: options.size,
              tags: options.tag,
              erase: options.erase,
            }),
          },
          options.wait,
          (reply) => diskTable([reply]),
        ),
      ),
    );

  disk
    .command('update')
    .description('change what placement goes by; what is not given stays as it is')
    .argument('<node>')
    .argument('<disk>', 'name or id')
    .option('--tag <tag>', 'its tags from now on; may be given again', collect)
    .option('--no-tags', 'no tags from now on')
    .option('--default-tags', 'the tags that it was added with')
    .option(
      '--reserve <size>',
      'space that is never promised to replicas; 0 for none',
      parseReserve,
    )
    .option(
      '--over-provisioning <percent>',
      'how much of the rest may be promised: 100 for all of it once, more to overcommit',
      parseCount,
    )
    .action((node: string, name: string, options: UpdateDiskOptions, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const { defaultTags, reserve, overProvisioning } = options;
        const reply = await session.request('disk.update', {
          node,
          disk: name,
          ...(defaultTags === true ? { tags: null } : tagsOf(options)),
          ...given({ reservedBytes: reserve, overProvisioningPercent: overProvisioning }),
        });
        printer.show(reply, () => diskDetails(reply));
      }),
    );

  const schedule = (verb: string, schedulable: boolean, description: string): void => {
    disk
      .command(verb)
      .description(description)
      .argument('<node>')
      .argument('<disk>', 'name or id')
      .action((node: string, name: string, _options: unknown, command: Command) =>
        online(runtime, command, async (session, { printer }) => {
          const reply = await session.request('disk.update', { node, disk: name, schedulable });
          printer.show(reply, () => diskDetails(reply));
        }),
      );
  };
  schedule('cordon', false, 'place no new replicas on a disk');
  schedule('uncordon', true, 'place new replicas on a disk again');

  disk
    .command('remove')
    .alias('rm')
    .description('take an empty disk from a node, or one that is emptied first')
    .argument('<node>')
    .argument('<disk>', 'name or id')
    .option('--evacuate', 'move its replicas and copies of images to other disks first')
    .addOption(dryRun())
    .addOption(noWait())
    .action((node: string, name: string, options: RemoveDiskOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'disk.remove',
          {
            node,
            disk: name,
            ...given({ dryRun: options.dryRun, evacuate: options.evacuate }),
          },
          options.wait,
          (reply) => `removed disk ${reply.id} from ${reply.node}`,
        ),
      ),
    );
}
