import { constants } from 'node:buffer';
import { bool, decodeObject, int32, opt, str, uint, uint32, uuid } from '../../rpc/decode.js';
import { method, type MethodTable } from '../../rpc/method.js';
import { RpcError } from '../../rpc/rpc-error.js';
import type { TargetBdevs } from '../registry.js';
import { MallocBdev } from './malloc-bdev.js';

/** The methods of module/bdev/malloc/bdev_malloc_rpc.c; metadata and protection information are refused. */
export function mallocMethods({ registry }: { readonly registry: TargetBdevs }): MethodTable {
  let made = 0;
  return {
    bdev_malloc_create: method(
      decodeObject({
        name: opt(str),
        block_size: uint32,
        num_blocks: uint,
        uuid: opt(uuid),
        optimal_io_boundary: opt(uint32),
        md_size: opt(uint32),
        md_interleave: opt(bool),
        dif_type: opt(int32),
        dif_is_head_of_md: opt(bool),
        physical_block_size: opt(uint32),
        dif_pi_format: opt(uint32),
        numa_id: opt(int32),
      }),
      async ({ name, block_size: blockSize, num_blocks: numBlocks, uuid: id, ...rest }) => {
        const sizeBytes = blockSize * numBlocks;
        if (blockSize === 0 || blockSize % 512 !== 0 || numBlocks === 0) {
          throw RpcError.errno('EINVAL');
        }
        if ((rest.md_size ?? 0) !== 0 || (rest.dif_type ?? 0) !== 0)
          throw RpcError.errno('ENOTSUP');
        if (sizeBytes > constants.MAX_LENGTH) throw RpcError.errno('ENOMEM');
        const bdev = new MallocBdev(name ?? `Malloc${made++}`, blockSize, sizeBytes, id);
        registry.register(bdev);
        await registry.examined();
        return bdev.name;
      },
    ),
    bdev_malloc_delete: method(decodeObject({ name: str }), async ({ name }) => {
      const bdev = registry.find(name);
      if (!(bdev instanceof MallocBdev)) throw RpcError.errno('ENODEV');
      await registry.remove(bdev);
      await bdev.retire();
      return true;
    }),
  };
}
