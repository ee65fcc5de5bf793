import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { RpcError } from '../../rpc/rpc-error.js';
import type { Bdev } from '../bdev.js';
import type { LvolStore } from './lvol-store.js';
import type { Lvol } from './lvol.js';

/** Throws EBUSY while a long operation on the lvol is under way. */
export function checkIdle(lvol: Lvol): void {
  if (lvol.isBusy) throw RpcError.errno('EBUSY');
}

/** Throws ENODEV for an lvol that was deleted while the operation waited for its turn. */
export function checkPresent(store: LvolStore, lvol: Lvol): void {
  if (store.lvols.get(lvol.uuid) !== lvol) throw RpcError.errno('ENODEV');
}

/** Throws EINVAL for a bdev that can't lie beneath lvols of the store. */
export function checkExternalParent(store: LvolStore, external: Bdev): void {
  const wholeClusters = external.sizeBytes % store.clusterSizeBytes === 0;
  const wholeBlocks = store.base.blockSizeBytes % external.blockSizeBytes === 0;
  if (!wholeClusters || !wholeBlocks || external.sizeBytes === 0) throw RpcError.errno('EINVAL');
}

/** Failed I/O of an operation, as the method answers it. */
export function asRpcError(error: unknown): unknown {
  if (!(error instanceof BlockIoError)) return error;
  return RpcError.errno(error.failure === BlockIoFailure.noSpace ? 'ENOSPC' : 'EIO');
}
