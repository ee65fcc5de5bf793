import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isDnsLabel } from '@lariat/kernel';
import { BUS_VARIABLES, type BusAccess, readBusAccess } from '@lariat/messaging';
import {
  TELEMETRY_VARIABLES,
  type TelemetryEnvironment,
  readTelemetryEnvironment,
} from '@lariat/telemetry';
import { socketPathOf } from './grpc/socket-path.js';

export type Mode = 'controller' | 'node' | 'all';

export interface PluginConfig {
  readonly socketPath: string;
  readonly natsUrl: string;
  readonly mode: Mode;
  /** This node's name; what serves as controller alone has none. */
  readonly node: string | undefined;
  /** Where the node part keeps its records of stagings and its journal of commands. */
  readonly dataDir: string | undefined;
  /** Undefined: as many as the node can take. */
  readonly maxVolumes: number | undefined;
  readonly telemetry: TelemetryEnvironment;
  /** With what it proves to NATS who it is. */
  readonly bus: BusAccess;
}

export const USAGE = `usage: lariat-csi --endpoint unix:///PATH --nats URL [options]

  --endpoint PATH      Unix socket to serve on                          CSI_ENDPOINT
  --nats URL           NATS server                                      LARIAT_NATS_URL
  --mode MODE          controller, node or all (all)                    LARIAT_CSI_MODE
  --node NAME          this node's name, for node and all               LARIAT_NODE
  --data DIR           records of the node part, for node and all       LARIAT_DATA
  --max-volumes COUNT  volumes that may be used on this node;           LARIAT_CSI_MAX_VOLUMES
                       without it what fits into half of its memory

Also from the environment:
${BUS_VARIABLES}
${TELEMETRY_VARIABLES}`;

/** The command line is wrong: print the message and the usage, and exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const OPTIONS = {
  endpoint: { type: 'string' },
  nats: { type: 'string' },
  mode: { type: 'string' },
  node: { type: 'string' },
  data: { type: 'string' },
  'max-volumes': { type: 'string' },
} as const;

const MODES: readonly Mode[] = ['controller', 'node', 'all'];

/** Arguments win over the environment. */
export function readConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): PluginConfig {
  const flags = parseFlags(argv);
  const endpoint = required(flags.endpoint ?? env['CSI_ENDPOINT'], '--endpoint unix:///PATH');
  const socketPath = socketPathOf(endpoint);
  if (socketPath === undefined)
    throw new UsageError(`--endpoint '${endpoint}' must be a Unix socket: unix:///path`);
  const natsUrl = required(flags.nats ?? env['LARIAT_NATS_URL'], '--nats URL');
  const modeText = flags.mode ?? env['LARIAT_CSI_MODE'] ?? 'all';
  const mode = MODES.find((one) => one === modeText);
  if (mode === undefined)
    throw new UsageError(`--mode '${modeText}' must be one of ${MODES.join(', ')}`);
  const node = flags.node ?? env['LARIAT_NODE'];
  const dataDir = flags.data ?? env['LARIAT_DATA'];
  if (mode !== 'controller') {
    if (!isDnsLabel(required(node, '--node NAME')))
      throw new UsageError(`--node '${node}' is not a DNS label`);
    required(dataDir, '--data DIR');
  }
  return Object.freeze({
    ...{ socketPath, mode, node },
    natsUrl,
    dataDir: dataDir === undefined ? undefined : resolve(dataDir),
    maxVolumes: countOf(flags['max-volumes'] ?? env['LARIAT_CSI_MAX_VOLUMES']),
    telemetry: readTelemetryEnvironment(env),
    bus: readBusAccess(env),
  });
}

function parseFlags(
  argv: readonly string[],
): Readonly<Partial<Record<keyof typeof OPTIONS, string>>> {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true }).values;
  } catch (reason) {
    throw new UsageError((reason as Error).message);
  }
}

function required(value: string | undefined, flag: string): string {
  if (value === undefined || value === '') throw new UsageError(`${flag} is missing`);
  return value;
}

function countOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^\d{1,6}$/.test(text) && count >= 1) return count;
  throw new UsageError(`--max-volumes '${text}' must be a whole number of at least 1`);
}
