/** VS: 1.4.0, the newest version whose mandatory parts the target has all of. */
export const NVME_VERSION = 0x0001_0400;

export const ControllerConfiguration = Object.freeze({
  enable: 0x1,
  /** IOSQES 6 (64 bytes) and IOCQES 4 (16 bytes), the only sizes there are. */
  entrySizes: (6 << 16) | (4 << 20),
  shutdownMask: 0x3 << 14,
  shutdownNormal: 0x1 << 14,
} as const);

export const ControllerStatus = Object.freeze({
  ready: 0x1,
  fatal: 0x2,
  shutdownMask: 0x3 << 2,
  shutdownUnderWay: 0x1 << 2,
  shutdownComplete: 0x2 << 2,
} as const);

/** CC.IOSQES and CC.IOCQES are right for the NVM command set. */
export function hasUsableEntrySizes(configuration: number): boolean {
  return ((configuration >>> 16) & 0xf) === 6 && ((configuration >>> 20) & 0xf) === 4;
}

export interface Capabilities {
  /** MQES + 1. */
  readonly maxQueueEntries: number;
  /** CAP.TO: how long enabling and disabling may take. */
  readonly readyTimeoutMs: number;
}

/** CAP as two dwords: contiguous queues, NVM command set, 4 KiB pages. */
export function encodeCapabilities(capabilities: Capabilities): {
  readonly low: number;
  readonly high: number;
} {
  const timeoutUnits = Math.min(255, Math.ceil(capabilities.readyTimeoutMs / 500));
  return {
    low: (((capabilities.maxQueueEntries - 1) & 0xffff) | (1 << 16) | (timeoutUnits << 24)) >>> 0,
    high: 1 << 5,
  };
}

export function readCapabilities(low: number): Capabilities {
  return { maxQueueEntries: (low & 0xffff) + 1, readyTimeoutMs: (low >>> 24) * 500 };
}
