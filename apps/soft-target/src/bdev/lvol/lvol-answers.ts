import { JsonRpcCode, RpcError } from '../../rpc/rpc-error.js';
import { asRpcError } from './lvol-checks.js';

/**
 * SPDK answers errors of an operation that has begun with a code of its own, and the errno in words alone
 * (the `…_cb` functions of module/bdev/lvol/vbdev_lvol_rpc.c).
 */
async function answering<T>(code: number, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const reason = asRpcError(error);
    throw reason instanceof RpcError ? new RpcError(code, reason.message) : reason;
  }
}

export function answeringInvalidParams<T>(operation: () => Promise<T>): Promise<T> {
  return answering(JsonRpcCode.invalidParams, operation);
}

export function answeringInternalError<T>(operation: () => Promise<T>): Promise<T> {
  return answering(JsonRpcCode.internalError, operation);
}
