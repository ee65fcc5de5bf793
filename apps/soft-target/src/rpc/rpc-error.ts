/** JSON-RPC 2.0 codes, as SPDK uses them (include/spdk/jsonrpc.h). */
export const JsonRpcCode = Object.freeze({
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  /** SPDK_JSONRPC_ERROR_INVALID_STATE */
  invalidState: -1,
} as const);

/** Linux errno values that SPDK puts, negated, into JSON-RPC error codes. */
export const Errno = Object.freeze({
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
  EILSEQ: 84,
  ENOTSUP: 95,
  EADDRINUSE: 98,
  ETIMEDOUT: 110,
  EALREADY: 114,
} as const);
export type Errno = keyof typeof Errno;

const ERRNO_TEXT: Readonly<Record<Errno, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EIO: 'Input/output error',
  ENXIO: 'No such device or address',
  EAGAIN: 'Resource temporarily unavailable',
  ENOMEM: 'Cannot allocate memory',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  ENODEV: 'No such device',
  EINVAL: 'Invalid argument',
  ENOSPC: 'No space left on device',
  EILSEQ: 'Invalid or incomplete multibyte or wide character',
  ENOTSUP: 'Operation not supported',
  EADDRINUSE: 'Address already in use',
  ETIMEDOUT: 'Connection timed out',
  EALREADY: 'Operation already in progress',
};

/** What a method throws to answer with a JSON-RPC error; anything else thrown becomes an internal error. */
export class RpcError extends Error {
  override readonly name: string = 'RpcError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }

  /** `spdk_jsonrpc_send_error_response(request, -errno, spdk_strerror(errno))`: the commonest shape. */
  static errno(errno: Errno, message: string = ERRNO_TEXT[errno]): RpcError {
    return new RpcError(-Errno[errno], message);
  }

  /** `SPDK_JSONRPC_ERROR_INVALID_PARAMS` with a message of its own. */
  static invalidParams(message = 'Invalid parameters'): RpcError {
    return new RpcError(JsonRpcCode.invalidParams, message);
  }
}

/** Parameters that do not decode. Each method of SPDK's answers that in a way of its own: see param-rules.ts. */
export class ParamsMisfit extends RpcError {
  override readonly name = 'ParamsMisfit';

  constructor() {
    super(JsonRpcCode.invalidParams, 'Invalid parameters');
  }
}

/** Thrown by a test's fault: the request is not answered, and its connection is cut. */
export class AnswerLost extends Error {
  override readonly name = 'AnswerLost';
}
