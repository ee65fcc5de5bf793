import { lariatError, type ErrorCode } from '@lariat/contracts';
import { SpdkConnectionCode, SpdkError } from '@lariat/spdk';
import { LariatError } from '@lariat/kernel';

/**
 * SPDK's errno as callers see it. EBUSY and EAGAIN pass: an lvol stays busy for a moment after its export or
 * raid has gone, while the last channel closes (lib/bdev/bdev.c).
 */
const CODE_BY_ERRNO: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'DISK_FULL',
  EBUSY: 'TARGET_UNAVAILABLE',
  EAGAIN: 'TARGET_UNAVAILABLE',
  ENOMEM: 'TARGET_UNAVAILABLE',
  ECONNREFUSED: 'LEG_UNREACHABLE',
  EHOSTUNREACH: 'LEG_UNREACHABLE',
  ETIMEDOUT: 'LEG_UNREACHABLE',
};

const CONNECTION_CODES: ReadonlySet<string> = new Set(Object.values(SpdkConnectionCode));

/** Errors of the RPC connection and of SPDK, in the closed set of codes; others are passed through. */
export function translateTargetError(reason: unknown): unknown {
  if (!(reason instanceof LariatError)) return reason;
  if (reason instanceof SpdkError) {
    const code = CODE_BY_ERRNO[reason.errno ?? ''] ?? 'TARGET_REFUSED';
    const advice =
      code === 'DISK_FULL'
        ? 'the disk is full; free space or add a disk: '
        : 'the target refused: ';
    return lariatError(code, `${advice}${reason.message}`, reason.details, reason);
  }
  if (CONNECTION_CODES.has(reason.code)) {
    return lariatError('TARGET_UNAVAILABLE', reason.message, reason.details, reason);
  }
  return reason;
}

/** True when the target answered that there is no such thing. */
export function isAbsent(reason: unknown): boolean {
  return reason instanceof SpdkError && (reason.errno === 'ENODEV' || reason.errno === 'ENOENT');
}

/** Of an attach: true when nobody can be reached there. EIO is what SPDK makes of every failed connect. */
export function isPathDown(reason: unknown): reason is SpdkError {
  if (!(reason instanceof SpdkError)) return false;
  const { errno = '' } = reason;
  return errno === 'EIO' || CODE_BY_ERRNO[errno] === 'LEG_UNREACHABLE';
}

/** True when the target answered that the gate with that id is not closed any more. */
export function isGateOpen(reason: unknown): boolean {
  return reason instanceof SpdkError && reason.errno === 'ESTALE';
}

/** True when nothing was learnt, since this node's own target did not answer. */
export function isOutage(reason: unknown): boolean {
  return (
    reason instanceof LariatError &&
    (reason.code === 'TARGET_UNAVAILABLE' || CONNECTION_CODES.has(reason.code))
  );
}
