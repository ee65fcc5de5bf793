import type {
  AntiAffinity,
  CreateVolumeRequest,
  Frontend,
  Robustness,
  VolumeState,
} from '@lariat/contracts';
import { type Command, Option } from 'commander';
import { given } from '../client/given.js';
import { volumeDetails, volumeTable } from '../output/views.js';
import { addListCommand } from './list-command.js';
import {
  change,
  collect,
  collectLabel,
  dryRun,
  type DryRunOption,
  noWait,
  online,
  parseCount,
  parseSize,
  parseVolumeSource,
  type Runtime,
  type VolumeSourceOption,
  type WaitOption,
} from './runtime.js';

interface CreateOptions extends WaitOption, QosOptions {
  readonly size?: number;
  readonly from?: VolumeSourceOption;
  readonly image?: string;
  readonly replicas?: number;
  readonly label?: Record<string, string>;
  readonly nodeAntiAffinity?: AntiAffinity;
  readonly zoneAntiAffinity?: AntiAffinity;
  readonly diskAntiAffinity?: AntiAffinity;
  readonly nodeTag?: string[];
  readonly diskTag?: string[];
}

const antiAffinity = (level: string, byDefault: AntiAffinity): Option =>
  new Option(
    `--${level}-anti-affinity <strictness>`,
    `two replicas on one ${level}: hard never, soft in need, off freely (default ${byDefault})`,
  ).choices(['hard', 'soft', 'off']);

/** What the options say of placement; undefined when they say nothing. */
function placementOf(options: CreateOptions): CreateVolumeRequest['placement'] {
  const { nodeAntiAffinity, zoneAntiAffinity, diskAntiAffinity, nodeTag, diskTag } = options;
  const placement = given({
    node: nodeAntiAffinity,
    zone: zoneAntiAffinity,
    disk: diskAntiAffinity,
    nodeTags: nodeTag,
    diskTags: diskTag,
  });
  return Object.keys(placement).length === 0 ? undefined : placement;
}

interface ListOptions {
  readonly state?: VolumeState;
  readonly robustness?: Robustness;
  readonly node?: string;
  readonly image?: string;
  readonly label?: Record<string, string>;
}

interface QosOptions {
  readonly rwIops?: number | null;
  readonly rwMbps?: number | null;
  readonly readMbps?: number | null;
  readonly writeMbps?: number | null;
}

interface UpdateOptions extends WaitOption, QosOptions {
  readonly replicas?: number;
}

const parseLimit = (text: string): number | null => (text === 'none' ? null : parseCount(text));

const qosOptions = (): readonly Option[] =>
  [
    new Option('--rw-iops <number>', 'reads and writes a second; rounded up to thousands, or none'),
    new Option('--rw-mbps <number>', 'MiB a second read and written, or none'),
    new Option('--read-mbps <number>', 'MiB a second read, or none'),
    new Option('--write-mbps <number>', 'MiB a second written, or none'),
  ].map((option) => option.argParser(parseLimit));

/** What the options say of limits; undefined when they say nothing. */
function qosOf({ rwIops, rwMbps, readMbps, writeMbps }: QosOptions): CreateVolumeRequest['qos'] {
  const qos = given({ rwIops, rwMbps, readMbps, writeMbps });
  return Object.keys(qos).length === 0 ? undefined : qos;
}

interface AttachOptions extends WaitOption {
  readonly node: string;
  readonly frontend?: Frontend;
  readonly hostNqn?: string[];
  readonly force?: boolean;
}

export function addVolumeCommands(program: Command, runtime: Runtime): void {
  const volume = program.command('volume').description('replicated block volumes');

  const create = volume
    .command('create')
    .description('make a volume with its replicas on different nodes')
    .argument('<name>', 'a DNS label: a-z, 0-9 and -')
    .addOption(
      new Option(
        '--size <size>',
        'e.g. 256MiB or 10GiB; rounded up to a whole MiB; may be left out with --from or --image',
      ).argParser(parseSize),
    )
    .addOption(
      new Option(
        '--from <volume[@snapshot]>',
        'a clone: with the content of the snapshot, or of the volume as it is now',
      ).argParser(parseVolumeSource),
    )
    .addOption(
      new Option(
        '--image <image>',
        'with the content of this image, by name or id; zeros past its end',
      ).conflicts('from'),
    )
    .option(
      '--replicas <number>',
      'copies on different nodes (default 3; of a clone as its source)',
      parseCount,
    )
    .option('--label <key=value>', 'a label; may be given again', collectLabel)
    .addOption(antiAffinity('node', 'hard'))
    .addOption(antiAffinity('zone', 'soft'))
    .addOption(antiAffinity('disk', 'soft'))
    .option(
      '--node-tag <tag>',
      'only on nodes with this tag; given again: with all of them',
      collect,
    )
    .option(
      '--disk-tag <tag>',
      'only on disks with this tag; given again: with all of them',
      collect,
    )
    .addOption(noWait())
    .action((name: string, options: CreateOptions, command: Command) => {
      if ([options.size, options.from, options.image].every((given) => given === undefined))
        command.error("error: required option '--size <size>' not specified");
      return online(runtime, command, (session, context) => {
        const placement = placementOf(options);
        const qos = qosOf(options);
        return change(
          session,
          context,
          'volume.create',
          {
            name,
            ...given({
              sizeBytes: options.size,
              source: options.from,
              image: options.image,
              replicas: options.replicas,
              labels: options.label,
              placement,
              qos,
            }),
          },
          options.wait,
          volumeDetails,
        );
      });
    });
  for (const option of qosOptions()) create.addOption(option);

  addListCommand(volume, runtime, {
    name: 'volume.list',
    description: 'list the volumes, or those that fit all that is given',
    orders: ['name', 'created', 'size'],
    filters: [
      new Option('--state <state>', 'e.g. attached'),
      new Option('--robustness <robustness>', 'healthy, degraded, faulted or unknown'),
      new Option('--node <node>', 'with a replica there, or attached there'),
      new Option('--image <id>', 'that stand on the image with this id'),
      new Option('--label <key=value>', 'with this label; may be given again').argParser(
        collectLabel,
      ),
    ],
    query: ({ state, robustness, node, image, label }: ListOptions) =>
      given({ state, robustness, node, image, labels: label }),
    table: volumeTable,
    empty: "no volumes; make one with 'lariat volume create NAME --size 1GiB'",
    eventKind: 'volume',
    keyOf: ({ id }) => id,
  });

  volume
    .command('get')
    .description('show one volume with its replicas')
    .argument('<volume>', 'name or id')
    .action((name: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('volume.get', { volume: name });
        printer.show(reply, () => volumeDetails(reply));
      }),
    );

  volume
    .command('attach')
    .description('make a volume usable on a node')
    .argument('<volume>', 'name or id')
    .requiredOption('--node <node>', 'where it is used')
    .addOption(
      new Option(
        '--frontend <frontend>',
        'how it is used there: by NVMe/TCP (nvmf, the default), a socket (nbd), or as a block device (kernel, loop)',
      ).choices(['nvmf', 'nbd', 'kernel', 'loop']),
    )
    .option(
      '--host-nqn <nqn>',
      'with nvmf: a host that may connect; may be given again (default: one made for this attachment, which is shown)',
      collect,
    )
    .option('--force', 'take it from the node that holds it, for one that is dead or cut off')
    .addOption(noWait())
    .action((name: string, options: AttachOptions, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'volume.attach',
          {
            volume: name,
            node: options.node,
            ...given({
              frontend: options.frontend,
              hostNqns: options.hostNqn,
              force: options.force,
            }),
          },
          options.wait,
          volumeDetails,
        ),
      ),
    );

  volume
    .command('detach')
    .description('stop the use of a volume; its data stays')
    .argument('<volume>', 'name or id')
    .addOption(noWait())
    .action((name: string, options: WaitOption, command: Command) =>
      online(runtime, command, (session, context) =>
        change(session, context, 'volume.detach', { volume: name }, options.wait, volumeDetails),
      ),
    );

  volume
    .command('expand')
    .description(
      'make a volume larger, also while it is used; NBD clients see it when they connect again',
    )
    .argument('<volume>', 'name or id')
    .addOption(
      new Option('--size <size>', 'the new size, e.g. 20GiB')
        .argParser(parseSize)
        .makeOptionMandatory(),
    )
    .addOption(noWait())
    .action((name: string, options: WaitOption & { size: number }, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'volume.expand',
          { volume: name, sizeBytes: options.size },
          options.wait,
          volumeDetails,
        ),
      ),
    );

  const update = volume
    .command('update')
    .description('change the limits and the number of replicas of a volume, also while it is used')
    .argument('<volume>', 'name or id')
    .option(
      '--replicas <number>',
      'more are built from those there are; of fewer the ones missed least go',
      parseCount,
    )
    .addOption(noWait())
    .action((name: string, options: UpdateOptions, command: Command) => {
      const qos = qosOf(options);
      const { replicas } = options;
      if (qos === undefined && replicas === undefined)
        command.error('error: nothing to change; see --help');
      return online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'volume.update',
          {
            volume: name,
            ...given({ qos, replicas }),
          },
          options.wait,
          volumeDetails,
        ),
      );
    });
  for (const option of qosOptions()) update.addOption(option);

  volume
    .command('delete')
    .alias('rm')
    .description('delete a detached volume with its replicas and snapshots')
    .argument('<volume>', 'name or id')
    .addOption(dryRun())
    .addOption(noWait())
    .action((name: string, options: WaitOption & DryRunOption, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'volume.delete',
          { volume: name, ...given({ dryRun: options.dryRun }) },
          options.wait,
          (reply) => `deleted volume ${reply.name} (${reply.id})`,
        ),
      ),
    );
}
