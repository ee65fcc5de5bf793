import { bool, decodeObject, oneOf, opt, str, uint32 } from '../../rpc/decode.js';
import { method, type JsonObject, type MethodTable } from '../../rpc/method.js';
import { RpcError } from '../../rpc/rpc-error.js';
import { answeringInvalidParams } from './lvol-answers.js';
import type { LvolStore } from './lvol-store.js';
import type { LvolStores } from './lvol-stores.js';

/**
 * New clusters are filled whole when they are allocated, so that nothing needs to be cleared beforehand: the
 * methods are accepted, and all give what write_zeroes promises.
 */
export const clearMethod = oneOf('none', 'unmap', 'write_zeroes');

/** As vbdev_get_lvol_store_by_uuid_xor_name. */
export function requireStore(
  stores: LvolStores,
  uuid: string | undefined,
  name: string | undefined,
): LvolStore {
  if ((uuid === undefined) === (name === undefined)) throw RpcError.errno('EINVAL');
  const store = uuid === undefined ? stores.findByName(name ?? '') : stores.findByUuid(uuid);
  if (store === undefined) throw RpcError.errno('ENODEV');
  return store;
}

const oneStore = { uuid: opt(str), lvs_name: opt(str) };

/** The methods of module/bdev/lvol/vbdev_lvol_rpc.c on stores. */
export function lvsMethods({ stores }: { readonly stores: LvolStores }): MethodTable {
  return {
    bdev_lvol_create_lvstore: method(
      decodeObject({
        bdev_name: str,
        lvs_name: str,
        cluster_sz: opt(uint32),
        clear_method: opt(clearMethod),
        num_md_pages_per_cluster_ratio: opt(uint32),
        md_page_size: opt(uint32),
        // Not of SPDK, which overwrites whatever there is.
        lariat_overwrite: opt(bool),
      }),
      async ({
        bdev_name: bdevName,
        lvs_name: name,
        cluster_sz: clusterSize,
        lariat_overwrite: overwrite,
      }) => {
        const store = await stores.create({
          bdevName,
          name,
          clusterSizeBytes: clusterSize === 0 ? undefined : clusterSize,
          overwrite: overwrite ?? false,
        });
        return store.uuid;
      },
    ),
    bdev_lvol_delete_lvstore: method(decodeObject(oneStore), async ({ uuid, lvs_name: name }) => {
      const store = requireStore(stores, uuid, name);
      await answeringInvalidParams(() => stores.destroy(store));
      return true;
    }),
    bdev_lvol_rename_lvstore: method(
      decodeObject({ old_name: str, new_name: str }),
      async ({ old_name: oldName, new_name: newName }) => {
        const store = stores.findByName(oldName);
        if (store === undefined) {
          throw RpcError.errno('ENOENT', `Lvol store ${oldName} not found`);
        }
        await answeringInvalidParams(() => stores.rename(store, newName));
        return true;
      },
    ),
    bdev_lvol_grow_lvstore: method(decodeObject(oneStore), async ({ uuid, lvs_name: name }) => {
      const store = requireStore(stores, uuid, name);
      await answeringInvalidParams(() => store.exclusively(() => store.grow()));
      return true;
    }),
    bdev_lvol_get_lvstores: method(decodeObject(oneStore), ({ uuid, lvs_name: name }) => {
      const all = uuid === undefined && name === undefined;
      return (all ? stores.list() : [requireStore(stores, uuid, name)]).map(storeToJson);
    }),
  };
}

function storeToJson(store: LvolStore): JsonObject {
  return {
    uuid: store.uuid,
    name: store.name,
    base_bdev: store.base.name,
    total_data_clusters: store.allocator.dataClusters,
    free_clusters: store.allocator.freeCount,
    block_size: store.base.blockSizeBytes,
    cluster_size: store.clusterSizeBytes,
  };
}
