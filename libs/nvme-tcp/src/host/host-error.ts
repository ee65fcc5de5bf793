import { LariatError } from '@lariat/kernel';
import { ConnectField, describeInvalidConnect } from '../nvme/fabrics.js';
import { describeStatus, type NvmeStatus, Status, statusCode } from '../nvme/status.js';

/** A command that the controller completed with a status other than success. */
export class NvmeCommandError extends Error {
  override readonly name = 'NvmeCommandError';
  readonly status: NvmeStatus;
  readonly dword0: number;

  constructor(command: string, status: NvmeStatus, dword0: number) {
    super(`${command} failed: ${describeStatus(status)}`);
    this.status = status;
    this.dword0 = dword0;
  }
}

/** The connection ended, or broke the protocol; whether outstanding commands happened is not known. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
}

export interface ConnectTarget {
  readonly traddr: string;
  readonly trsvcid: string;
  readonly subnqn: string;
  readonly hostnqn: string;
}

const UNKNOWN_SUBSYSTEM = (1 << 16) | ConnectField.subsystemNqn;

/** What a person is told when a connect failed. */
export function connectError(target: ConnectTarget, cause: unknown): LariatError {
  const where = `${target.traddr}:${target.trsvcid}`;
  if (cause instanceof LariatError) return cause;
  if (cause instanceof NvmeCommandError) {
    const code = statusCode(cause.status);
    if (code === Status.connectInvalidHost) {
      return new LariatError({
        kind: 'precondition',
        code: 'NVME_HOST_NOT_ALLOWED',
        message: `${target.subnqn} at ${where} does not allow host ${target.hostnqn}; add it to the subsystem's hosts`,
        cause,
      });
    }
    if (
      code === Status.connectInvalidParameters &&
      (cause.dword0 & 0x1_ffff) === UNKNOWN_SUBSYSTEM
    ) {
      return new LariatError({
        kind: 'not_found',
        code: 'NVME_SUBSYSTEM_UNKNOWN',
        message: `there is no subsystem ${target.subnqn} at ${where}; check the NQN`,
        cause,
      });
    }
    const detail =
      code === Status.connectInvalidParameters ? `, ${describeInvalidConnect(cause.dword0)}` : '';
    return new LariatError({
      kind: 'unavailable',
      code: 'NVME_CONNECT_REJECTED',
      message: `${where} rejected the connection to ${target.subnqn}: ${cause.message}${detail}`,
      cause,
    });
  }
  const errno = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (errno === 'ECONNREFUSED') {
    return new LariatError({
      kind: 'unavailable',
      code: 'NVME_CONNECT_REFUSED',
      message: `nothing listens at ${where}; is the target running?`,
      cause,
    });
  }
  return new LariatError({
    kind: 'unavailable',
    code: 'NVME_CONNECT_FAILED',
    message: `cannot connect to ${target.subnqn} at ${where}: ${cause instanceof Error ? cause.message : String(cause)}`,
    cause,
  });
}

export function connectTimeout(target: ConnectTarget, timeoutMs: number): LariatError {
  return new LariatError({
    kind: 'timeout',
    code: 'NVME_CONNECT_TIMEOUT',
    message: `connecting to ${target.subnqn} at ${target.traddr}:${target.trsvcid} did not finish within ${timeoutMs} ms`,
  });
}
