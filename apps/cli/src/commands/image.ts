import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { ImageState, RequestMap } from '@lariat/contracts';
import { given } from '../client/given.js';
import type { GlobalOptions } from '../context.js';
import { serveUpload } from '../client/serve-upload.js';
import { addListCommand } from './list-command.js';
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
  parseVolumeSource,
  type VolumeSourceOption,
} from './runtime.js';

interface NodeFile {
  readonly node: string;
  readonly path: string;
}

interface CreateOptions extends WaitOption {
  readonly url?: string;
  readonly file?: string;
  readonly serviceFile?: string;
  readonly nodeFile?: NodeFile;
  readonly from?: VolumeSourceOption;
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
    .option('--file <path>', 'send a file of this machine; the command must run to its end')
    .option(
      '--service-file <path>',
      'let the image service read a file of its machine, below one of its LARIAT_IMAGE_FOLDERS',
    )
    .option(
      '--node-file <node:path>',
      "have a node's agent send a file of its machine, as n2:/srv/images/a.qcow2, below one of its LARIAT_IMAGE_FOLDERS",
      parseNodeFile,
    )
    .addOption(
      new Option(
        '--from <volume[@snapshot]>',
        'what a volume holds now, attached or not, or what a snapshot of it does; taken as it is',
      ).argParser(parseVolumeSource),
    )
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
    .action((name: string, options: CreateOptions, command: Command) => {
      assertOneSource(options, command);
      return online(runtime, command, async (session, context) => {
        const { checksum, format, copies, label, wait } = options;
        // An upload ends with its command, however long it takes; the service gives up on one that stands still.
        const hasNoLimit = options.file !== undefined && timeoutOf(command) === undefined;
        const waiting = hasNoLimit ? { ...context, timeoutMs: Infinity } : context;
        const more = given({ checksum, format, minimumCopies: copies, labels: label });
        const create = (source: RequestMap['image.create']['request']['source']): Promise<void> =>
          change(session, waiting, 'image.create', { name, source, ...more }, wait, imageDetails);
        if (options.file === undefined) return create(sourceOf(options));
        const served = await serveUpload(session.connection, options.file);
        try {
          return await create({ upload: served.upload });
        } finally {
          await served.close();
        }
      });
    });
}

const timeoutOf = (command: Command): string | undefined =>
  command.optsWithGlobals<GlobalOptions>().timeout;

function assertOneSource(options: CreateOptions, command: Command): void {
  const { url, file, serviceFile, nodeFile, from, wait } = options;
  if (
    [url, file, serviceFile, nodeFile, from].filter((source) => source !== undefined).length !== 1
  )
    command.error(
      'error: give one source: --url URL, --file PATH, --service-file PATH, --node-file NODE:PATH or --from VOLUME[@SNAPSHOT]',
    );
  if (file !== undefined && !wait)
    command.error('error: --file needs this command to its end: leave --no-wait out');
}

function sourceOf({ url, serviceFile, nodeFile, from }: CreateOptions) {
  if (from !== undefined) return from;
  if (nodeFile !== undefined) return { file: nodeFile };
  return serviceFile === undefined ? given({ url }) : { file: { path: serviceFile } };
}

/** A node's name has no colon; a path may have some. */
function parseNodeFile(text: string): NodeFile {
  const at = text.indexOf(':');
  const [node, path] = [text.slice(0, at), text.slice(at + 1)];
  if (at > 0 && path.startsWith('/')) return { node, path };
  throw new InvalidArgumentError("Give a node and a path that begins with '/', as n2:/srv/a.img.");
}

function addLooks(image: Command, runtime: Runtime): void {
  addListCommand(image, runtime, {
    name: 'image.list',
    description: 'list the images',
    orders: ['name', 'created', 'size'],
    filters: [new Option('--state <state>', 'e.g. ready')],
    query: ({ state }: { state?: ImageState }) => given({ state }),
    table: imageTable,
    empty: "no images; import one with 'lariat image create NAME --url URL'",
    eventKind: 'image',
    keyOf: ({ id }) => id,
  });

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
