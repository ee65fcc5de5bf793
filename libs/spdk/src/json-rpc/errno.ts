import type { ErrorKind } from '@lariat/kernel';

/** How an SPDK error code reads to the rest of Lariat. */
export interface SpdkErrorMeaning {
  readonly kind: ErrorKind;
  readonly code: string;
}

/**
 * JSON-RPC 2.0 codes of SPDK (include/spdk/jsonrpc.h). Its nvmf methods answer `invalidParams` and
 * `internalError` for nearly everything, also for "exists already" (lib/nvmf/nvmf_rpc.c): look before
 * creating, since their code does not tell.
 */
export const JsonRpcErrorCode = Object.freeze({
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
} as const);

const JSON_RPC_MEANINGS: ReadonlyMap<number, SpdkErrorMeaning> = new Map<number, SpdkErrorMeaning>([
  [JsonRpcErrorCode.parseError, { kind: 'internal', code: 'SPDK_PARSE_ERROR' }],
  [JsonRpcErrorCode.invalidRequest, { kind: 'internal', code: 'SPDK_INVALID_REQUEST' }],
  [JsonRpcErrorCode.methodNotFound, { kind: 'precondition', code: 'SPDK_METHOD_NOT_FOUND' }],
  [JsonRpcErrorCode.invalidParams, { kind: 'invalid', code: 'SPDK_INVALID_PARAMS' }],
  [JsonRpcErrorCode.internalError, { kind: 'internal', code: 'SPDK_INTERNAL_ERROR' }],
]);

/**
 * Linux errno values with what strerror says of them, which SPDK answers negated (`spdk_jsonrpc_send_error_response(request, -errno, …)` in
 * lib/bdev/bdev_rpc.c, module/bdev/lvol/vbdev_lvol_rpc.c, module/bdev/nvme/bdev_nvme_rpc.c,
 * module/bdev/raid/bdev_raid_rpc.c). -1 is EPERM and SPDK_JSONRPC_ERROR_INVALID_STATE alike; both say that
 * the state forbids the call.
 */
const ERRNO_TABLE: readonly (readonly [number, string, string, SpdkErrorMeaning])[] = [
  [1, 'EPERM', 'Operation not permitted', { kind: 'precondition', code: 'SPDK_NOT_PERMITTED' }],
  [2, 'ENOENT', 'No such file or directory', { kind: 'not_found', code: 'SPDK_NOT_FOUND' }],
  [5, 'EIO', 'Input/output error', { kind: 'unavailable', code: 'SPDK_IO_ERROR' }],
  [6, 'ENXIO', 'No such device or address', { kind: 'unavailable', code: 'SPDK_NO_SUCH_ADDRESS' }],
  [
    11,
    'EAGAIN',
    'Resource temporarily unavailable',
    { kind: 'unavailable', code: 'SPDK_TRY_AGAIN' },
  ],
  [12, 'ENOMEM', 'Cannot allocate memory', { kind: 'unavailable', code: 'SPDK_OUT_OF_MEMORY' }],
  [13, 'EACCES', 'Permission denied', { kind: 'precondition', code: 'SPDK_ACCESS_DENIED' }],
  [16, 'EBUSY', 'Device or resource busy', { kind: 'precondition', code: 'SPDK_BUSY' }],
  [17, 'EEXIST', 'File exists', { kind: 'conflict', code: 'SPDK_EXISTS' }],
  [19, 'ENODEV', 'No such device', { kind: 'not_found', code: 'SPDK_NO_DEVICE' }],
  [22, 'EINVAL', 'Invalid argument', { kind: 'invalid', code: 'SPDK_INVALID_ARGUMENT' }],
  [27, 'EFBIG', 'File too large', { kind: 'invalid', code: 'SPDK_TOO_LARGE' }],
  [28, 'ENOSPC', 'No space left on device', { kind: 'precondition', code: 'SPDK_NO_SPACE' }],
  [30, 'EROFS', 'Read-only file system', { kind: 'precondition', code: 'SPDK_READ_ONLY' }],
  [31, 'EMLINK', 'Too many links', { kind: 'precondition', code: 'SPDK_TOO_MANY_CLONES' }],
  [34, 'ERANGE', 'Numerical result out of range', { kind: 'invalid', code: 'SPDK_OUT_OF_RANGE' }],
  [36, 'ENAMETOOLONG', 'File name too long', { kind: 'invalid', code: 'SPDK_NAME_TOO_LONG' }],
  [
    84,
    'EILSEQ',
    'Invalid or incomplete multibyte or wide character',
    { kind: 'precondition', code: 'SPDK_BAD_METADATA' },
  ],
  [95, 'ENOTSUP', 'Operation not supported', { kind: 'precondition', code: 'SPDK_NOT_SUPPORTED' }],
  [98, 'EADDRINUSE', 'Address already in use', { kind: 'conflict', code: 'SPDK_ADDRESS_IN_USE' }],
  [
    99,
    'EADDRNOTAVAIL',
    'Cannot assign requested address',
    { kind: 'invalid', code: 'SPDK_ADDRESS_NOT_AVAILABLE' },
  ],
  [110, 'ETIMEDOUT', 'Connection timed out', { kind: 'timeout', code: 'SPDK_TIMED_OUT' }],
  [
    111,
    'ECONNREFUSED',
    'Connection refused',
    { kind: 'unavailable', code: 'SPDK_CONNECTION_REFUSED' },
  ],
  [113, 'EHOSTUNREACH', 'No route to host', { kind: 'unavailable', code: 'SPDK_HOST_UNREACHABLE' }],
  [114, 'EALREADY', 'Operation already in progress', { kind: 'conflict', code: 'SPDK_ALREADY' }],
  [115, 'EINPROGRESS', 'Operation now in progress', { kind: 'conflict', code: 'SPDK_IN_PROGRESS' }],
  [116, 'ESTALE', 'Stale file handle', { kind: 'precondition', code: 'SPDK_GATE_EXPIRED' }],
  [125, 'ECANCELED', 'Operation canceled', { kind: 'unavailable', code: 'SPDK_CANCELED' }],
];

interface KnownErrno {
  readonly name: string;
  readonly meaning: SpdkErrorMeaning;
}

const ERRNO_BY_NUMBER: ReadonlyMap<number, KnownErrno> = new Map(
  ERRNO_TABLE.map(([errno, name, , meaning]) => [errno, { name, meaning }]),
);
const ERRNO_BY_TEXT: ReadonlyMap<string, KnownErrno> = new Map(
  ERRNO_TABLE.map(([, name, text, meaning]) => [text, { name, meaning }]),
);

/** What SPDK means by an error that it answered, and the errno behind it, if there is one. */
export interface RpcErrorMeaning extends SpdkErrorMeaning {
  /** `EEXIST` */
  readonly errno: string | undefined;
}

/**
 * The one place that decides what an SPDK error means. Many methods hide the errno behind -32602 or -32603
 * and say it only in strerror's words, such as all of module/bdev/lvol/vbdev_lvol_rpc.c that end in a
 * callback: there the words, when they are nothing but an errno's, decide.
 */
export function meaningOfRpcError(rpcCode: number, rpcMessage: string): RpcErrorMeaning {
  const generic = JSON_RPC_MEANINGS.get(rpcCode);
  const hidden = HIDING_CODES.has(rpcCode) ? ERRNO_BY_TEXT.get(rpcMessage) : undefined;
  const errno = generic === undefined ? ERRNO_BY_NUMBER.get(-rpcCode) : hidden;
  if (errno !== undefined) return { ...errno.meaning, errno: errno.name };
  return { ...(generic ?? UNKNOWN), errno: undefined };
}

const HIDING_CODES: ReadonlySet<number> = new Set([
  JsonRpcErrorCode.invalidParams,
  JsonRpcErrorCode.internalError,
]);

const UNKNOWN: SpdkErrorMeaning = { kind: 'internal', code: 'SPDK_UNKNOWN_ERROR' };
