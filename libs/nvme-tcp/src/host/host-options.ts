import { createHash } from 'node:crypto';
import { LariatError } from '@lariat/kernel';
import { isValidNqn } from '../nvme/nqn.js';
import { parseGuid } from '../nvme/text.js';

export interface NvmeTcpHostOptions {
  /** Address and decimal port of the target. */
  readonly traddr: string;
  readonly trsvcid: string;
  readonly subnqn: string;
  readonly hostnqn: string;
  /** A UUID; derived from hostnqn when left out. */
  readonly hostid?: string;
  /** 1 when left out. */
  readonly ioQueueCount?: number;
  /** Entries of each I/O queue, 128 when left out; one less commands may be outstanding. */
  readonly queueDepth?: number;
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  /** The target drops a host, and the host a target, that is silent for this long. 10000 when left out; 0 for never. */
  readonly keepAliveTimeoutMs?: number;
  /** Pause between attempts to reconnect, 1000 when left out. The first attempt is made at once. */
  readonly reconnectDelayMs?: number;
  /** While reconnecting, I/O fails after this; 0, the default, holds it until ctrlrLossTimeoutMs. */
  readonly fastIoFailTimeoutMs?: number;
  /** Reconnecting is given up after this; 0 never reconnects, -1, the default, tries for ever. */
  readonly ctrlrLossTimeoutMs?: number;
  /** For a whole attempt to connect, 5000 when left out. */
  readonly connectTimeoutMs?: number;
}

export interface HostSettings extends Required<Omit<NvmeTcpHostOptions, 'hostid'>> {
  /** 16 bytes. */
  readonly hostId: Buffer;
}

const DEFAULTS = {
  ioQueueCount: 1,
  queueDepth: 128,
  headerDigest: false,
  dataDigest: false,
  keepAliveTimeoutMs: 10_000,
  reconnectDelayMs: 1000,
  fastIoFailTimeoutMs: 0,
  ctrlrLossTimeoutMs: -1,
  connectTimeoutMs: 5000,
} as const;

export function hostSettings(options: NvmeTcpHostOptions): HostSettings {
  const { hostid, ...rest } = options;
  const settings = { ...DEFAULTS, ...rest, hostId: hostIdOf(options.hostnqn, hostid) };
  require(isValidNqn(settings.subnqn), `subnqn '${settings.subnqn}' is not an NQN`);
  require(isValidNqn(settings.hostnqn), `hostnqn '${settings.hostnqn}' is not an NQN`);
  const port = Number(settings.trsvcid);
  require(Number.isInteger(port) &&
    port >= 1 &&
    port <= 65_535, `trsvcid '${settings.trsvcid}' is not a TCP port`);
  requireRange('ioQueueCount', settings.ioQueueCount, 1, 1024);
  requireRange('queueDepth', settings.queueDepth, 2, 4096);
  requireRange('keepAliveTimeoutMs', settings.keepAliveTimeoutMs, 0, 0x7fff_ffff);
  requireRange('reconnectDelayMs', settings.reconnectDelayMs, 0, 0x7fff_ffff);
  requireRange('fastIoFailTimeoutMs', settings.fastIoFailTimeoutMs, 0, 0x7fff_ffff);
  requireRange('ctrlrLossTimeoutMs', settings.ctrlrLossTimeoutMs, -1, 0x7fff_ffff);
  requireRange('connectTimeoutMs', settings.connectTimeoutMs, 1, 0x7fff_ffff);
  return settings;
}

/** Fixed for a host NQN, so that every connection of a host carries the same one. */
function hostIdOf(hostNqn: string, hostid: string | undefined): Buffer {
  const given = hostid ?? /uuid:([0-9a-fA-F-]{36})$/.exec(hostNqn)?.[1];
  const parsed = given === undefined ? undefined : parseGuid(given);
  require(hostid === undefined || parsed !== undefined, `hostid '${hostid}' is not a UUID`);
  return parsed ?? createHash('sha256').update(hostNqn).digest().subarray(0, 16);
}

function require(holds: boolean, message: string): void {
  if (!holds) throw new LariatError({ kind: 'invalid', code: 'NVME_OPTION_INVALID', message });
}

function requireRange(name: string, value: number, least: number, most: number): void {
  require(Number.isInteger(value) &&
    value >= least &&
    value <= most, `${name} must be within ${least} to ${most}`);
}
