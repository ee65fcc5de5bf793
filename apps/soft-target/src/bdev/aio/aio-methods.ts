import { bool, decodeObject, opt, str, uint32, uuid } from '../../rpc/decode.js';
import { method, type MethodTable } from '../../rpc/method.js';
import { RpcError } from '../../rpc/rpc-error.js';
import type { TargetBdevs } from '../registry.js';
import { AioBdev } from './aio-bdev.js';

/** The methods of module/bdev/aio/bdev_aio_rpc.c. */
export function aioMethods({ registry }: { readonly registry: TargetBdevs }): MethodTable {
  const require = (name: string): AioBdev => {
    const bdev = registry.find(name);
    if (!(bdev instanceof AioBdev)) throw RpcError.errno('ENODEV');
    return bdev;
  };
  const remove = async (bdev: AioBdev): Promise<void> => {
    await registry.remove(bdev);
    await bdev.close();
  };
  return {
    bdev_aio_create: method(
      decodeObject({
        name: str,
        filename: str,
        block_size: opt(uint32),
        readonly: opt(bool),
        fallocate: opt(bool),
        uuid: opt(uuid),
        nowait: opt(bool),
      }),
      async ({ name, filename, block_size: blockSize, readonly, uuid: id }) => {
        if (registry.find(name) !== undefined) throw RpcError.errno('EEXIST');
        const bdev = await AioBdev.open({
          name,
          filename,
          // 0 asks for the device's own, as if it were absent.
          blockSizeBytes: blockSize === 0 ? undefined : blockSize,
          readOnly: readonly ?? false,
          uuid: id,
        });
        try {
          registry.register(bdev);
        } catch (error) {
          await bdev.close();
          throw error;
        }
        await registry.examined();
        return name;
      },
    ),
    bdev_aio_rescan: method(decodeObject({ name: str }), async ({ name }) => {
      const bdev = require(name);
      const sizeBytes = await bdev.detectSizeBytes();
      if (sizeBytes === 0) {
        // The device is gone (bdev_aio_try_hot_remove).
        await remove(bdev);
      } else if (sizeBytes < bdev.sizeBytes) {
        // spdk_bdev_notify_blockcnt_change refuses to shrink what is open, and rescan has it open itself.
        throw RpcError.errno('EBUSY');
      } else if (sizeBytes > bdev.sizeBytes) {
        bdev.growTo(sizeBytes);
        registry.resized(bdev);
      }
      return true;
    }),
    bdev_aio_delete: method(decodeObject({ name: str }), async ({ name }) => {
      await remove(require(name));
      return true;
    }),
  };
}
