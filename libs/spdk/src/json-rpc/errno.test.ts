import { describe, expect, test } from 'vitest';
import { JsonRpcErrorCode, meaningOfRpcError } from './errno.js';

const { invalidParams, internalError, methodNotFound } = JsonRpcErrorCode;

describe('the meaning of an SPDK error', () => {
  test.each([
    [-17, 'File exists', 'EEXIST', 'conflict', 'SPDK_EXISTS'],
    [-28, 'whatever it says', 'ENOSPC', 'precondition', 'SPDK_NO_SPACE'],
    [-110, 'Connection timed out', 'ETIMEDOUT', 'timeout', 'SPDK_TIMED_OUT'],
    [-5, 'Input/output error', 'EIO', 'unavailable', 'SPDK_IO_ERROR'],
    [invalidParams, 'Invalid parameters', undefined, 'invalid', 'SPDK_INVALID_PARAMS'],
    [invalidParams, 'File exists', 'EEXIST', 'conflict', 'SPDK_EXISTS'],
    [internalError, 'No space left on device', 'ENOSPC', 'precondition', 'SPDK_NO_SPACE'],
    [internalError, 'Internal error', undefined, 'internal', 'SPDK_INTERNAL_ERROR'],
    [internalError, 'lvol: File exists', undefined, 'internal', 'SPDK_INTERNAL_ERROR'],
    [methodNotFound, 'No such device', undefined, 'precondition', 'SPDK_METHOD_NOT_FOUND'],
    [-9999, 'File exists', undefined, 'internal', 'SPDK_UNKNOWN_ERROR'],
    [17, 'File exists', undefined, 'internal', 'SPDK_UNKNOWN_ERROR'],
  ])('%i "%s" is %s: %s %s', (rpcCode, rpcMessage, errno, kind, code) => {
    expect(meaningOfRpcError(rpcCode, rpcMessage)).toEqual({ kind, code, errno });
  });
});
