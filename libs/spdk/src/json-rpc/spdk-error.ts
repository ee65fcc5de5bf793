import { LariatError } from '@lariat/kernel';
import { meaningOfRpcError } from './errno.js';

/** A JSON-RPC error that SPDK answered: the call was carried out, and refused. */
export class SpdkError extends LariatError {
  readonly method: string;
  readonly rpcCode: number;
  /** `ENODEV` when `rpcCode` is a negated errno, or hides one. */
  readonly errno: string | undefined;
  /** What SPDK said, word for word; `message` adds the method and the code. */
  readonly rpcMessage: string;

  constructor(method: string, rpcCode: number, rpcMessage: string) {
    const { kind, code, errno } = meaningOfRpcError(rpcCode, rpcMessage);
    super({
      kind,
      code,
      message: `${method} failed: ${rpcMessage} (${errno ?? rpcCode})`,
      details: { method, rpcCode, rpcMessage, ...(errno === undefined ? {} : { errno }) },
    });
    this.method = method;
    this.rpcCode = rpcCode;
    this.errno = errno;
    this.rpcMessage = rpcMessage;
  }
}

/** Codes of the errors that the connection makes itself, not SPDK. */
export const SpdkConnectionCode = Object.freeze({
  /** No connection: the call was never sent. */
  notConnected: 'SPDK_NOT_CONNECTED',
  /** The connection was lost under a call that was sent: its outcome is unknown. */
  connectionLost: 'SPDK_CONNECTION_LOST',
  /** No answer in time: the call's outcome is unknown. */
  deadlineExceeded: 'SPDK_DEADLINE_EXCEEDED',
  /** SPDK's bytes are not JSON-RPC. */
  protocolError: 'SPDK_PROTOCOL_ERROR',
} as const);
export type SpdkConnectionCode = (typeof SpdkConnectionCode)[keyof typeof SpdkConnectionCode];
