import { LariatError } from '@lariat/kernel';

export interface NvmeTcpTargetOptions {
  /** Largest transfer of one command (MDTS): 4 KiB times a power of two. 131072 when left out. */
  readonly maxIoSizeBytes?: number;
  /** In-capsule data of I/O commands, up to 8192, which is also the default. */
  readonly inCapsuleDataBytes?: number;
  /** Entries of each queue, 128 when left out. */
  readonly maxQueueDepth?: number;
  /** I/O queues of each controller, 127 when left out. */
  readonly maxIoQueues?: number;
  /** Highest namespace id, 256 when left out. */
  readonly maxNamespaces?: number;
  /** A connection without a Connect command is closed after this, 30000 when left out. */
  readonly associationTimeoutMs?: number;
}

export type TargetLimits = Required<NvmeTcpTargetOptions>;

const DEFAULTS: TargetLimits = {
  maxIoSizeBytes: 131_072,
  inCapsuleDataBytes: 8192,
  maxQueueDepth: 128,
  maxIoQueues: 127,
  maxNamespaces: 256,
  associationTimeoutMs: 30_000,
};

/** MAXH2CDATA of every ICResp. */
export const MAX_H2C_DATA_BYTES = 131_072;

export function targetLimits(options: NvmeTcpTargetOptions): TargetLimits {
  const limits: TargetLimits = { ...DEFAULTS, ...options };
  const pages = limits.maxIoSizeBytes / 4096;
  require(Number.isInteger(Math.log2(pages)) &&
    pages >= 1, 'maxIoSizeBytes must be 4096 times a power of two');
  require(limits.inCapsuleDataBytes >= 0 &&
    limits.inCapsuleDataBytes <= 8192 &&
    limits.inCapsuleDataBytes % 16 === 0, 'inCapsuleDataBytes must be a multiple of 16 up to 8192');
  require(limits.maxQueueDepth >= 2 &&
    limits.maxQueueDepth <= 4096, 'maxQueueDepth must be between 2 and 4096');
  require(limits.maxIoQueues >= 1 &&
    limits.maxIoQueues <= 1024, 'maxIoQueues must be between 1 and 1024');
  require(limits.maxNamespaces >= 1 &&
    limits.maxNamespaces <= 1024, 'maxNamespaces must be between 1 and 1024');
  return limits;
}

function require(holds: boolean, message: string): void {
  if (!holds) throw new LariatError({ kind: 'invalid', code: 'NVMF_OPTION_INVALID', message });
}
