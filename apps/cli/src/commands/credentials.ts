import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  type BusUser,
  type ServerTls,
  authorizationConfig,
  credentialsFile,
  tlsConfig,
  userOf,
} from '@lariat/bus';
import { LariatError, isDnsLabel } from '@lariat/kernel';
import type { Command } from 'commander';
import { admitNodes, busUsers, dismissNode } from '../cluster/bus-users.js';
import { usageError } from '../context.js';
import { type Column, formatTable } from '../output/table.js';
import { collect, offline, type Runtime } from './runtime.js';

interface CredentialsOptions {
  readonly node?: readonly string[];
  readonly dropNode?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
}

const COLUMNS: readonly Column<{ readonly user: string; readonly file: string }>[] = [
  { title: 'USER', value: ({ user }) => user },
  { title: 'FILE', value: ({ file }) => file },
];

/** What nats-server includes; it holds no secret. */
export const CONFIG_NAME = 'bus.conf';

/** Makes what is missing in the folder, and the server's part anew; answers who may connect then. */
export function makeBusFolder(
  folder: string,
  nodes: { readonly admit: readonly string[]; readonly drop: readonly string[] },
  tls: ServerTls | undefined,
): readonly BusUser[] {
  for (const node of [...nodes.admit, ...nodes.drop])
    if (!isDnsLabel(node))
      throw new LariatError({
        kind: 'invalid',
        code: 'NAME_INVALID',
        message: `'${node}' is not a node name: use 1 to 63 of a-z, 0-9 and '-', starting and ending with a letter or digit.`,
      });
  for (const node of nodes.drop) dismissNode(folder, node);
  admitNodes(folder, nodes.admit);
  const users = busUsers(folder);
  const text = authorizationConfig(users) + (tls === undefined ? '' : tlsConfig(tls));
  writeFileSync(join(folder, CONFIG_NAME), `# Made by 'lariat credentials'.\n${text}`);
  return users;
}

function tlsOf({ tlsCert, tlsKey, tlsCa }: CredentialsOptions): ServerTls | undefined {
  if (tlsCert !== undefined && tlsKey !== undefined)
    return { cert: tlsCert, key: tlsKey, ...(tlsCa === undefined ? {} : { ca: tlsCa }) };
  if (tlsCert === undefined && tlsKey === undefined && tlsCa === undefined) return undefined;
  throw usageError('TLS needs both --tls-cert and --tls-key; --tls-ca is for them.');
}

export function addCredentialsCommand(program: Command, runtime: Runtime): void {
  program
    .command('credentials')
    .description('make the credentials of each part, and what NATS must know of them')
    .argument('<folder>', 'where they are; what is there already stays')
    .option('--node <name>', 'for the agent of this node too; may be given again', collect)
    .option('--drop-node <name>', 'this node is let in no more; may be given again', collect)
    .option('--tls-cert <path>', "the server's certificate, as the server finds it")
    .option('--tls-key <path>', 'its key')
    .option('--tls-ca <path>', 'who connects must have a certificate that this one has signed')
    .action((path: string, options: CredentialsOptions, command: Command) =>
      offline(runtime, command, ({ printer }) => {
        const folder = resolve(path);
        const nodes = { admit: options.node ?? [], drop: options.dropNode ?? [] };
        const users = makeBusFolder(folder, nodes, tlsOf(options)).map(({ role, publicKey }) => ({
          user: userOf(role),
          file: credentialsFile(folder, role),
          publicKey,
        }));
        const config = join(folder, CONFIG_NAME);
        printer.show({ folder, config, users }, () =>
          [
            formatTable(COLUMNS, users),
            '',
            `NATS: include ${config}, then have it read its configuration (nats-server --signal reload)`,
            'each part: its own file, for its owner alone, named in LARIAT_NATS_CREDENTIALS',
          ].join('\n'),
        );
        return Promise.resolve();
      }),
    );
}
