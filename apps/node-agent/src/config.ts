import { existsSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Frontend, imageFoldersFrom } from '@lariat/contracts';
import { isDnsLabel, MIB, parseSizeBytes } from '@lariat/kernel';
import { BUS_VARIABLES, type BusAccess, readBusAccess } from '@lariat/messaging';
import {
  TELEMETRY_VARIABLES,
  type TelemetryEnvironment,
  readTelemetryEnvironment,
} from '@lariat/telemetry';
import { programFile } from './program-file.js';

/** external: somebody else starts it, and it is known by its RPC socket. */
export type TargetKind = 'soft' | 'spdk' | 'external';

export interface DiskFlag {
  readonly name: string;
  readonly sizeBytes: number;
}

export interface AgentConfig {
  readonly node: string;
  readonly natsUrl: string;
  readonly dataDir: string;
  /** Where users of this host look for volumes that are block devices. */
  readonly deviceDir: string;
  readonly zone: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly traddr: string;
  /** 0: a free one is chosen at the first start and kept. */
  readonly trsvcid: number;
  /** How long a target may take from its start to its first answer. */
  readonly targetStartMs: number;
  /** How long I/O through the kernel waits for a target that is away, before it fails. */
  readonly kernelLossSeconds: number;
  readonly disks: readonly DiskFlag[];
  readonly target: TargetKind;
  /** Those that this node may offer, as far as its machine can. */
  readonly frontends: readonly Frontend[];
  /** Images are made of files in these folders alone; without any, of no file of this node. */
  readonly imageFolders: readonly string[];
  readonly softTargetBin: string;
  readonly spdkBin: string;
  readonly spdkArgs: readonly string[];
  /** Of an external target; '' for others. */
  readonly targetSocket: string;
  readonly telemetry: TelemetryEnvironment;
  /** With what it proves to NATS who it is. */
  readonly bus: BusAccess;
  /** True lets tests arm fault points in this process. */
  readonly faults: boolean;
}

export const USAGE = `usage: lariat-node-agent --node NAME --nats URL --data DIR [options]

  --node NAME          this node's name, a DNS label                    LARIAT_NODE
  --nats URL           NATS server                                      LARIAT_NATS_URL
  --data DIR           folder of the agent's own records                LARIAT_DATA
  --device-dir DIR     nodes of block devices (/dev/lariat)             LARIAT_DEVICE_DIR
  --zone ZONE          failure zone ('default')                         LARIAT_ZONE
  --label KEY=VALUE    label for placement; may be repeated             LARIAT_LABELS (comma-separated)
  --traddr ADDRESS     address of the NVMe/TCP listener (127.0.0.1)     LARIAT_TRADDR
  --trsvcid PORT       its port; 0 chooses one and keeps it (0)         LARIAT_TRSVCID
  --target-start SECS  seconds the target may take to start (15)        LARIAT_TARGET_START
  --kernel-loss SECS   seconds that I/O under frontend kernel waits    LARIAT_KERNEL_LOSS
                       for a target that is away, then fails (1800)
  --disk NAME=SIZE     a disk in a file, made when missing; repeatable  LARIAT_DISKS (comma-separated)
  --image-folder DIR   images may be made of files in it; repeatable    LARIAT_IMAGE_FOLDERS (colon-separated)
  --target KIND        soft, spdk, or external: started by others (soft) LARIAT_TARGET
  --frontends LIST     of nvmf, nbd, kernel, loop: what is offered    LARIAT_FRONTENDS (comma-separated)
                       where the machine can do it (all)
  --spdk-bin PATH      spdk_tgt, for --target spdk                      LARIAT_SPDK_BIN
  --spdk-args ARGS     further arguments of spdk_tgt                    LARIAT_SPDK_ARGS
  --target-socket PATH RPC socket of an external target                 LARIAT_TARGET_SOCKET
  --soft-target PATH   soft-target's main.bundle.js                     LARIAT_SOFT_TARGET

       lariat-node-agent prestop --data DIR: for the stop hook of a container

Also from the environment:
${BUS_VARIABLES}
${TELEMETRY_VARIABLES}`;

/** The command line is wrong: print the message and the usage, and exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** spdk_tgt without huge pages and PCI devices, on one core: what works everywhere. */
const DEFAULT_SPDK_ARGS = '-m 0x1 -s 512 --no-huge --no-pci';
/** Room for the store's own metadata and some clusters. */
const MIN_DISK_BYTES = 16 * MIB;

/** A target that has not answered by then will not. */
const MAX_TARGET_START_SECONDS = 600;

/** A target that is only started again must be a stall. */
const MIN_KERNEL_LOSS_SECONDS = 30;
/** Whoever waits for a device that is gone for good can't be ended before. */
const MAX_KERNEL_LOSS_SECONDS = 86_400;

type Environment = Readonly<Record<string, string | undefined>>;

const OPTIONS = {
  node: { type: 'string' },
  nats: { type: 'string' },
  data: { type: 'string' },
  'device-dir': { type: 'string' },
  zone: { type: 'string' },
  label: { type: 'string', multiple: true },
  traddr: { type: 'string' },
  trsvcid: { type: 'string' },
  'target-start': { type: 'string' },
  'kernel-loss': { type: 'string' },
  disk: { type: 'string', multiple: true },
  'image-folder': { type: 'string', multiple: true },
  frontends: { type: 'string' },
  target: { type: 'string' },
  'spdk-bin': { type: 'string' },
  'spdk-args': { type: 'string' },
  'target-socket': { type: 'string' },
  'soft-target': { type: 'string' },
} as const;

/** Arguments win over the environment; every fault is a UsageError that says what to write instead. */
export function readConfig(argv: readonly string[], env: Environment): AgentConfig {
  const flags = parseFlags(argv);
  const one = (flag: keyof typeof OPTIONS, variable: string): string | undefined => {
    const value = flags[flag];
    return typeof value === 'string' ? value : env[variable];
  };
  const many = (flag: 'label' | 'disk', variable: string): readonly string[] =>
    flags[flag] ?? (env[variable] ?? '').split(',').filter((text) => text !== '');
  const target = targetKind(one('target', 'LARIAT_TARGET') ?? 'soft');
  const spdkBin = one('spdk-bin', 'LARIAT_SPDK_BIN') ?? '';
  if (target === 'spdk' && spdkBin === '') {
    throw new UsageError('--target spdk needs --spdk-bin PATH, the path of spdk_tgt');
  }
  if (target === 'spdk' && !existsSync(spdkBin)) {
    throw new UsageError(`--spdk-bin ${spdkBin}: there is no such file`);
  }
  const targetSocket = one('target-socket', 'LARIAT_TARGET_SOCKET') ?? '';
  if (target === 'external' && !isAbsolute(targetSocket)) {
    throw new UsageError(
      "--target external needs --target-socket PATH, the RPC socket of the target, as a path that begins with '/'",
    );
  }
  if (target !== 'external' && targetSocket !== '') {
    throw new UsageError(
      `--target-socket is for --target external; a ${target} target is started with a socket of its own`,
    );
  }
  return Object.freeze({
    node: nodeName(required(one('node', 'LARIAT_NODE'), '--node NAME')),
    natsUrl: required(one('nats', 'LARIAT_NATS_URL'), '--nats URL'),
    dataDir: resolve(required(one('data', 'LARIAT_DATA'), '--data DIR')),
    deviceDir: resolve(one('device-dir', 'LARIAT_DEVICE_DIR') ?? '/dev/lariat'),
    zone: one('zone', 'LARIAT_ZONE') ?? 'default',
    labels: labelsOf(many('label', 'LARIAT_LABELS')),
    traddr: one('traddr', 'LARIAT_TRADDR') ?? '127.0.0.1',
    trsvcid: portOf(one('trsvcid', 'LARIAT_TRSVCID') ?? '0'),
    targetStartMs:
      1_000 *
      secondsOf(
        '--target-start',
        one('target-start', 'LARIAT_TARGET_START') ?? '15',
        1,
        MAX_TARGET_START_SECONDS,
      ),
    kernelLossSeconds: secondsOf(
      '--kernel-loss',
      one('kernel-loss', 'LARIAT_KERNEL_LOSS') ?? '1800',
      MIN_KERNEL_LOSS_SECONDS,
      MAX_KERNEL_LOSS_SECONDS,
    ),
    disks: disksOf(many('disk', 'LARIAT_DISKS')),
    target,
    frontends: frontendsOf(one('frontends', 'LARIAT_FRONTENDS')),
    imageFolders: foldersOf(flags['image-folder'] ?? imageFoldersFrom(env['LARIAT_IMAGE_FOLDERS'])),
    softTargetBin:
      one('soft-target', 'LARIAT_SOFT_TARGET') ?? programFile('../../soft-target/dist/main.js'),
    spdkBin,
    spdkArgs: (one('spdk-args', 'LARIAT_SPDK_ARGS') ?? DEFAULT_SPDK_ARGS)
      .split(' ')
      .filter((text) => text !== ''),
    targetSocket,
    telemetry: readTelemetryEnvironment(env),
    bus: readBusAccess(env),
    faults: env['LARIAT_FAULTS'] === '1',
  });
}

interface Flags {
  readonly [flag: string]: string | string[] | undefined;
  readonly label?: string[];
  readonly disk?: string[];
  readonly 'image-folder'?: string[];
}

function parseFlags(argv: readonly string[]): Flags {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true, allowPositionals: false })
      .values;
  } catch (reason) {
    throw new UsageError((reason as Error).message);
  }
}

function required(value: string | undefined, flag: string): string {
  if (value === undefined || value === '') throw new UsageError(`${flag} is missing`);
  return value;
}

function nodeName(text: string): string {
  if (isDnsLabel(text)) return text;
  throw new UsageError(
    `--node '${text}' is not a DNS label: 1 to 63 of a-z, 0-9 and '-', which is not first or last`,
  );
}

function targetKind(text: string): TargetKind {
  if (text === 'soft' || text === 'spdk' || text === 'external') return text;
  throw new UsageError(`--target '${text}' is neither soft, spdk nor external`);
}

function frontendsOf(list: string | undefined): readonly Frontend[] {
  const known = Object.values(Frontend);
  if (list === undefined || list === '') return known;
  const wanted = list.split(',');
  const unknown = wanted.find((name) => !(known as readonly string[]).includes(name));
  if (unknown === undefined) return known.filter((frontend) => wanted.includes(frontend));
  throw new UsageError(`--frontends '${unknown}' is none of ${known.join(', ')}`);
}

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new UsageError(`--trsvcid '${text}' is not a port from 0 to 65535`);
}

function secondsOf(flag: string, text: string, least: number, most: number): number {
  const seconds = Number(text);
  if (/^\d+$/.test(text) && seconds >= least && seconds <= most) return seconds;
  throw new UsageError(`${flag} '${text}' is not a number of seconds from ${least} to ${most}`);
}

function foldersOf(paths: readonly string[]): readonly string[] {
  const relative = paths.find((path) => !isAbsolute(path));
  if (relative === undefined) return paths;
  throw new UsageError(`--image-folder '${relative}' must be a path that begins with '/'`);
}

function split(text: string, flag: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new UsageError(`${flag} '${text}' must have the form KEY=VALUE`);
}

function labelsOf(texts: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(texts.map((text) => split(text, '--label')));
}

function disksOf(texts: readonly string[]): readonly DiskFlag[] {
  const disks = texts.map((text): DiskFlag => {
    const [name, size] = split(text, '--disk');
    const sizeBytes = parseSizeBytes(size);
    if (!isDnsLabel(name)) throw new UsageError(`--disk '${name}' is not a DNS label`);
    if (sizeBytes === undefined || sizeBytes < MIN_DISK_BYTES || sizeBytes % MIB !== 0) {
      throw new UsageError(
        `--disk ${name}: '${size}' is not a size in whole MiB of at least ${MIN_DISK_BYTES / MIB} MiB, such as 2GiB`,
      );
    }
    return { name, sizeBytes };
  });
  if (new Set(disks.map(({ name }) => name)).size < disks.length) {
    throw new UsageError('--disk names one disk twice');
  }
  return disks;
}
