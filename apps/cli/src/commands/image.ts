import type { Command } from 'commander';
import { Option } from 'commander';
import { given } from '../client/given.js';
import { imageDetails, imageTable, imageVerificationTable } from '../output/image-views.js';
import {
  type DryRunOption,
  type Runtime,
  type WaitOption,
  change,
  collectLabel,
  dryRun,
  noWait,
  online,
  parseCount,
} from './runtime.js';

interface CreateOptions extends WaitOption {
  readonly url?: string;
  readonly file?: string;
  readonly node?: string;
  readonly checksum?: string;
  readonly format?: 'raw' | 'qcow2';
  readonly copies?: number;
  readonly label?: Readonly<Record<string, string>>;
}

export function addImageCommands(program: Command, runtime: Runtime): void {
  const image = program.command('image').description('disk images that volumes are made from');
  addCreate(image, runtime);
  addLooks(image, runtime);
  addChanges(image, runtime);
}

function addCreate(image: Command, runtime: Runtime): void {
  image
    .command('create')
    .description('import an image: raw or qcow2, also packed with gzip, xz or zstd')
    .argument('<name>', 'a DNS label: a-z, 0-9 and -')
    .option('--url <url>', 'fetch it from an http or https address')
    .option('--file <path>', 'read it from a file of the machine on which the services run')
    .option('--node <node>', 'the node that has the file')
    .option('--checksum <sum>', 'sha256:… or sha512:… of the file, or the url of a SHA256SUMS file')
    .addOption(
      new Option('--format <format>', 'refuse another one; default: what the content says').choices(
        ['raw', 'qcow2'],
      ),
    )
    .option(
      '--copies <count>',
      'keep at least so many copies, each on a node of its own',
      parseCount,
    )
    .option('--label <key=value>', 'a label; may be given again', collectLabel)
    .addOption(noWait())
    .action((name: string, options: CreateOptions, command: Command) =>
      online(runtime, command, (session, context) => {
        const { url, file, node, checksum, format, copies, label } = options;
        if ((url === undefined) === (file === undefined))
          command.error('error: give one source: --url URL or --file PATH');
        const source =
          file === undefined ? given({ url }) : { file: { path: file, ...given({ node }) } };
        const more = given({ checksum, format, minimumCopies: copies, labels: label });
        return change(
          session,
          context,
          'image.create',
          { name, source, ...more },
          options.wait,
          imageDetails,
        );
      }),
    );
}

function addLooks(image: Command, runtime: Runtime): void {
  image
    .command('list')
    .alias('ls')
    .description('list the images')
    .action((_options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('image.list', {});
        printer.show(reply, () =>
          reply.images.length === 0
            ? "no images; import one with 'lariat image create NAME --url URL'"
            : imageTable(reply.images),
        );
      }),
    );

  image
    .command('get')
    .description('show one image, with its checksums, its copies, and why it failed')
    .argument('<image>', 'name or id')
    .action((name: string, _options: unknown, command: Command) =>
      online(runtime, command, async (session, { printer }) => {
        const reply = await session.request('image.get', { image: name });
        printer.show(reply, () => imageDetails(reply));
      }),
    );
}

function addChanges(image: Command, runtime: Runtime): void {
  image
    .command('verify')
    .description('read every copy whole, and replace those that are not the image')
    .argument('<image>', 'name or id')
    .option('--mib-per-second <rate>', 'read each copy no faster', parseCount)
    .addOption(noWait())
    .action((name: string, options: WaitOption & { mibPerSecond?: number }, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'image.verify',
          { image: name, ...given({ mibPerSecond: options.mibPerSecond }) },
          options.wait,
          (reply) => {
            if (reply.verdict === 'differs') runtime.setExitCode(1);
            return imageVerificationTable(reply);
          },
        ),
      ),
    );

  image
    .command('delete')
    .alias('rm')
    .description('delete an image that no volume uses, with all its copies')
    .argument('<image>', 'name or id')
    .addOption(dryRun())
    .addOption(noWait())
    .action((name: string, options: WaitOption & DryRunOption, command: Command) =>
      online(runtime, command, (session, context) =>
        change(
          session,
          context,
          'image.delete',
          { image: name, ...given({ dryRun: options.dryRun }) },
          options.wait,
          (reply) => `deleted image ${reply.name} (${reply.id})`,
        ),
      ),
    );
}
