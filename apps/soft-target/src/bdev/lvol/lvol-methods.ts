import { bool, decodeObject, opt, str, uint, uint32 } from '../../rpc/decode.js';
import { method, type JsonObject, type MethodTable } from '../../rpc/method.js';
import { RpcError } from '../../rpc/rpc-error.js';
import { requireBdev, type TargetBdevs } from '../registry.js';
import { clusterDigests, MAX_DIGESTS_PER_ANSWER } from './cluster-digests.js';
import { DigestThreads } from './digest-threads.js';
import { answeringInternalError, answeringInvalidParams } from './lvol-answers.js';
import { LvolBdev } from './lvol-bdev.js';
import { clearMethod, requireStore } from './lvs-methods.js';
import * as lifecycle from './lvol-lifecycle.js';
import * as lineage from './lvol-lineage.js';
import type { LvolStore } from './lvol-store.js';
import type { LvolStores } from './lvol-stores.js';
import type { Lvol } from './lvol.js';
import { ShallowCopies } from './shallow-copy.js';

export interface LvolMethodsDeps {
  readonly registry: TargetBdevs;
  readonly stores: LvolStores;
}

interface Found {
  readonly store: LvolStore;
  readonly lvol: Lvol;
}

const byName = decodeObject({ name: str });

/** The methods of module/bdev/lvol/vbdev_lvol_rpc.c on lvols. */
export function lvolMethods({ registry, stores }: LvolMethodsDeps): MethodTable {
  const copies = new ShallowCopies(registry);
  const digestThreads = new DigestThreads();
  const require = (name: string): Found => {
    const found = stores.lvolOf(registry.find(name));
    if (found === undefined) throw RpcError.errno('ENODEV');
    return found;
  };
  /** A method on one lvol that answers true. */
  const onLvol = (operation: (store: LvolStore, lvol: Lvol) => Promise<void>) =>
    method(byName, async ({ name }) => {
      const { store, lvol } = require(name);
      await answeringInvalidParams(() => operation(store, lvol));
      return true;
    });
  return {
    bdev_lvol_create: method(
      decodeObject({
        lvol_name: str,
        size_in_mib: uint,
        thin_provision: opt(bool),
        uuid: opt(str),
        lvs_name: opt(str),
        clear_method: opt(clearMethod),
      }),
      async ({ lvol_name: name, size_in_mib: sizeMib, thin_provision: isThin, ...where }) => {
        const store = requireStore(stores, where.uuid, where.lvs_name);
        store.checkNewName(name);
        const sizeBytes = bytesOf(sizeMib);
        const lvol = await answeringInvalidParams(() =>
          lifecycle.createLvol(store, name, sizeBytes, isThin ?? false),
        );
        return lvol.uuid;
      },
    ),
    bdev_lvol_snapshot: method(
      decodeObject({ lvol_name: str, snapshot_name: str }),
      async ({ lvol_name: name, snapshot_name: snapshotName }) => {
        const { store, lvol } = require(name);
        const snapshot = await answeringInvalidParams(() =>
          lineage.snapshotLvol(store, lvol, snapshotName),
        );
        return snapshot.uuid;
      },
    ),
    bdev_lvol_clone: method(
      decodeObject({ snapshot_name: str, clone_name: str }),
      async ({ snapshot_name: name, clone_name: cloneName }) => {
        const { store, lvol } = require(name);
        const clone = await answeringInvalidParams(() =>
          lifecycle.createClone(store, lvol, cloneName),
        );
        return clone.uuid;
      },
    ),
    bdev_lvol_clone_bdev: method(
      decodeObject({ bdev: str, lvs_name: str, clone_name: str }),
      async ({ bdev: bdevName, lvs_name: storeName, clone_name: cloneName }) => {
        const store = stores.findByName(storeName);
        if (store === undefined) throw RpcError.invalidParams('lvs does not exist');
        const bdev = registry.find(bdevName);
        if (bdev === undefined) throw RpcError.invalidParams('bdev does not exist');
        if (stores.lvolOf(bdev)?.store === store) {
          throw RpcError.invalidParams(
            'bdev is an lvol in same lvs as clone; use bdev_lvol_clone instead',
          );
        }
        const clone = await answeringInvalidParams(() =>
          lifecycle.createExternalClone(store, bdev, cloneName),
        );
        return clone.uuid;
      },
    ),
    bdev_lvol_rename: method(
      decodeObject({ old_name: str, new_name: str }),
      async ({ old_name: name, new_name: newName }) => {
        const { store, lvol } = require(name);
        await answeringInvalidParams(() => lifecycle.renameLvol(store, lvol, newName));
        return true;
      },
    ),
    bdev_lvol_resize: method(
      decodeObject({ name: str, size_in_mib: uint }),
      async ({ name, size_in_mib: sizeMib }) => {
        const { store, lvol } = require(name);
        await answeringInvalidParams(() => lifecycle.resizeLvol(store, lvol, bytesOf(sizeMib)));
        return true;
      },
    ),
    bdev_lvol_set_read_only: onLvol(lifecycle.setReadOnly),
    bdev_lvol_inflate: onLvol(lineage.inflateLvol),
    bdev_lvol_decouple_parent: onLvol(lineage.decoupleParent),
    bdev_lvol_delete: method(byName, async ({ name }) => {
      const { store, lvol } = stores.lvolOf(registry.find(name)) ?? findDegraded(stores, name);
      await answeringInternalError(() => lifecycle.deleteLvol(store, lvol));
      return true;
    }),
    bdev_lvol_get_lvols: method(
      decodeObject({ lvs_uuid: opt(str), lvs_name: opt(str) }),
      ({ lvs_uuid: uuid, lvs_name: name }) => {
        const all = uuid === undefined && name === undefined;
        return (all ? stores.list() : [requireStore(stores, uuid, name)]).flatMap((store) =>
          [...store.lvols.values()].map((lvol) => lvolToJson(store, lvol)),
        );
      },
    ),
    bdev_lvol_set_parent: method(
      decodeObject({ lvol_name: str, parent_name: str }),
      async ({ lvol_name: name, parent_name: parentName }) => {
        const { store, lvol } = require(name);
        const { lvol: parent } = require(parentName);
        await answeringInvalidParams(() => lineage.setParent(store, lvol, parent));
        return true;
      },
    ),
    bdev_lvol_set_parent_bdev: method(
      decodeObject({ lvol_name: str, parent_name: str }),
      async ({ lvol_name: name, parent_name: parentName }) => {
        const { store, lvol } = require(name);
        await answeringInvalidParams(async () =>
          lineage.setExternalParent(store, lvol, requireBdev(registry, parentName)),
        );
        return true;
      },
    ),
    bdev_lvol_start_shallow_copy: method(
      decodeObject({ src_lvol_name: str, dst_bdev_name: str }),
      async ({ src_lvol_name: name, dst_bdev_name: destination }) => {
        const { store, lvol } = require(name);
        const operationId = await answeringInvalidParams(async () =>
          copies.start(store, lvol, requireBdev(registry, destination)),
        );
        return { operation_id: operationId };
      },
    ),
    bdev_lvol_check_shallow_copy: method(
      decodeObject({ operation_id: uint32 }),
      ({ operation_id: operationId }) => {
        const { copiedClusters, totalClusters, error, done } = copies.check(operationId);
        const progress = { copied_clusters: copiedClusters, total_clusters: totalClusters };
        if (error !== undefined) return { ...progress, state: 'error', error };
        return { ...progress, state: done ? 'complete' : 'in progress' };
      },
    ),
    // Lariat's own: whoever compares an lvol's whole content need not have it sent.
    lariat_lvol_get_cluster_digests: method(
      decodeObject({ name: str, first_cluster: uint, num_clusters: uint }),
      async ({ name, first_cluster: first, num_clusters: wanted }) => {
        const bdev = registry.find(name);
        if (!(bdev instanceof LvolBdev)) throw RpcError.errno('ENODEV');
        const { sizeClusters } = bdev.lvol;
        if (first > sizeClusters || wanted > MAX_DIGESTS_PER_ANSWER) throw RpcError.errno('EINVAL');
        const clusters = Math.min(wanted, sizeClusters - first);
        return {
          cluster_size: bdev.store.clusterSizeBytes,
          num_clusters: clusters,
          sha256: (await clusterDigests(bdev, first, clusters, digestThreads)).toString('base64'),
        };
      },
    ),
  };
}

/** A degraded lvol has no bdev: it is known by its uuid, or as `<store>/<name>`. */
function findDegraded(stores: LvolStores, name: string): Found {
  for (const store of stores.list()) {
    for (const lvol of store.lvols.values()) {
      const matches = lvol.uuid === name.toLowerCase() || store.aliasOf(lvol.name) === name;
      if (matches) return { store, lvol };
    }
  }
  throw RpcError.errno('ENODEV');
}

function bytesOf(sizeMib: number): number {
  const sizeBytes = sizeMib * 1024 * 1024;
  if (!Number.isSafeInteger(sizeBytes)) throw RpcError.errno('EINVAL');
  return sizeBytes;
}

function lvolToJson(store: LvolStore, lvol: Lvol): JsonObject {
  return {
    alias: store.aliasOf(lvol.name),
    uuid: lvol.uuid,
    name: lvol.name,
    is_thin_provisioned: lvol.isThin,
    is_snapshot: store.isSnapshot(lvol),
    is_clone: lvol.isClone,
    is_esnap_clone: lvol.external !== undefined,
    is_degraded: lvol.isDegraded,
    num_allocated_clusters: lvol.allocatedClusters,
    lvs: { name: store.name, uuid: store.uuid },
  };
}
