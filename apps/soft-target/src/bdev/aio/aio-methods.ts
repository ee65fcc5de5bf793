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
      if (await bdev.rescan()) registry.resized(bdev);
      return true;
    }),
    bdev_aio_delete: method(decodeObject({ name: str }), async ({ name }) => {
      const bdev = require(name);
      await registry.remove(bdev);
      await bdev.close();
      return true;
    }),
  };
}
