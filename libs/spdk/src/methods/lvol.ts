import { LariatError } from '@lariat/kernel';
import type { CallOptions, RpcCaller } from '../json-rpc/spdk-client.js';
import {
  badResult,
  count,
  flag,
  ifDefined,
  list,
  oneOf,
  record,
  text,
  type Parse,
} from '../result/fields.js';

/** A store by its uuid or its name, never both (SPDK refuses that with EINVAL). */
export type LvstoreRef = { readonly uuid: string } | { readonly lvsName: string };

/** What happens to clusters: only `write_zeroes` keeps old bytes of the disk from showing through. */
export type ClearMethod = 'none' | 'unmap' | 'write_zeroes';

export interface LvstoreInfo {
  readonly uuid: string;
  readonly name: string;
  readonly baseBdev: string;
  readonly blockSizeBytes: number;
  readonly clusterSizeBytes: number;
  readonly totalDataClusters: number;
  readonly freeClusters: number;
}

export const parseLvstoreInfo: Parse<LvstoreInfo> = record((fields) => ({
  uuid: fields.required('uuid', text),
  name: fields.required('name', text),
  baseBdev: fields.required('base_bdev', text),
  blockSizeBytes: fields.required('block_size', count),
  clusterSizeBytes: fields.required('cluster_size', count),
  totalDataClusters: fields.required('total_data_clusters', count),
  freeClusters: fields.required('free_clusters', count),
}));

/** `bdev_lvol_get_lvols`: also lvols that have no bdev, such as a clone whose external parent is missing. */
export interface LvolInfo {
  /** `<store>/<lvol>` */
  readonly alias: string;
  readonly uuid: string;
  readonly name: string;
  readonly isThinProvisioned: boolean;
  readonly isSnapshot: boolean;
  readonly isClone: boolean;
  readonly isEsnapClone: boolean;
  readonly isDegraded: boolean;
  /** SPDK 25.05 and newer. */
  readonly allocatedClusters?: number;
  readonly lvstoreUuid: string;
  readonly lvstoreName: string;
}

export const parseLvolInfo: Parse<LvolInfo> = record((fields) => {
  const store = fields.required(
    'lvs',
    record((lvs) => ({ uuid: lvs.required('uuid', text), name: lvs.required('name', text) })),
  );
  return {
    alias: fields.required('alias', text),
    uuid: fields.required('uuid', text),
    name: fields.required('name', text),
    isThinProvisioned: fields.required('is_thin_provisioned', flag),
    isSnapshot: fields.required('is_snapshot', flag),
    isClone: fields.required('is_clone', flag),
    isEsnapClone: fields.required('is_esnap_clone', flag),
    isDegraded: fields.required('is_degraded', flag),
    ...ifDefined('allocatedClusters', fields.optional('num_allocated_clusters', count)),
    lvstoreUuid: store.uuid,
    lvstoreName: store.name,
  };
});

export interface ShallowCopyProgress {
  readonly state: 'in progress' | 'complete' | 'error';
  readonly copiedClusters: number;
  readonly totalClusters: number;
  /** SPDK's words, for state `error`. */
  readonly error?: string;
}

export const parseShallowCopyProgress: Parse<ShallowCopyProgress> = record((fields) => ({
  state: fields.required('state', oneOf(['in progress', 'complete', 'error'])),
  copiedClusters: fields.required('copied_clusters', count),
  totalClusters: fields.required('total_clusters', count),
  ...ifDefined('error', fields.optional('error', text)),
}));

/** SHA-256 of some of an lvol's clusters, from the one that was asked for on. */
export interface LvolClusterDigests {
  readonly clusterSizeBytes: number;
  /** 32 bytes a cluster; fewer than asked for at the lvol's end. */
  readonly digests: Buffer;
}

/** What `lariat_lvol_get_cluster_digests` gives at most in one answer. */
export const MAX_LVOL_CLUSTER_DIGESTS = 64;

const parseClusterDigests: Parse<LvolClusterDigests> = (value, path) => {
  const answer = record((fields) => ({
    clusterSizeBytes: fields.required('cluster_size', count),
    clusters: fields.required('num_clusters', count),
    digests: Buffer.from(fields.required('sha256', text), 'base64'),
  }))(value, path);
  const { clusterSizeBytes, clusters, digests } = answer;
  if (digests.length !== clusters * 32)
    throw badResult(path, `digests of ${clusters} clusters`, digests.length);
  return { clusterSizeBytes, digests };
};

export interface LvolCreateParams {
  readonly store: LvstoreRef;
  readonly lvolName: string;
  /** SPDK takes whole MiB and rounds up to a cluster. */
  readonly sizeMib: number;
  readonly thinProvision?: boolean;
  readonly clearMethod?: ClearMethod;
}

export interface LvstoreCreateParams {
  readonly bdevName: string;
  readonly lvsName: string;
  readonly clusterSizeBytes?: number;
  readonly clearMethod?: ClearMethod;
}

const MIB_BYTES = 1024 * 1024;

/** `size_in_mib` for a size in bytes; SPDK has no finer unit. */
export function sizeInMib(sizeBytes: number): number {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % MIB_BYTES === 0)
    return sizeBytes / MIB_BYTES;
  throw new LariatError({
    kind: 'invalid',
    code: 'SPDK_SIZE_NOT_IN_MIB',
    message: `an lvol's size must be a positive multiple of 1 MiB, not ${sizeBytes} bytes`,
  });
}

/** Logical volumes. An `lvolName` is a bdev name: the uuid, or the alias `<store>/<lvol>`. */
export class LvolMethods {
  constructor(private readonly rpc: RpcCaller) {}

  /** The new store's uuid. Clearing a big disk takes its time: give a `timeoutMs`. */
  async createLvstore(params: LvstoreCreateParams, options?: CallOptions): Promise<string> {
    const wire = {
      bdev_name: params.bdevName,
      lvs_name: params.lvsName,
      ...ifDefined('cluster_sz', params.clusterSizeBytes),
      ...ifDefined('clear_method', params.clearMethod),
    };
    return text(
      await this.rpc.call('bdev_lvol_create_lvstore', wire, options),
      'bdev_lvol_create_lvstore',
    );
  }

  async deleteLvstore(store: LvstoreRef): Promise<void> {
    flag(
      await this.rpc.call('bdev_lvol_delete_lvstore', storeParams(store)),
      'bdev_lvol_delete_lvstore',
    );
  }

  async getLvstores(): Promise<readonly LvstoreInfo[]> {
    return list(parseLvstoreInfo)(
      await this.rpc.call('bdev_lvol_get_lvstores'),
      'bdev_lvol_get_lvstores',
    );
  }

  async growLvstore(store: LvstoreRef): Promise<void> {
    flag(
      await this.rpc.call('bdev_lvol_grow_lvstore', storeParams(store)),
      'bdev_lvol_grow_lvstore',
    );
  }

  async getLvols(store?: LvstoreRef): Promise<readonly LvolInfo[]> {
    // This one method calls the uuid `lvs_uuid` (vbdev_lvol_rpc.c).
    const params =
      store === undefined
        ? undefined
        : 'uuid' in store
          ? { lvs_uuid: store.uuid }
          : { lvs_name: store.lvsName };
    return list(parseLvolInfo)(
      await this.rpc.call('bdev_lvol_get_lvols', params),
      'bdev_lvol_get_lvols',
    );
  }

  /** The new lvol's uuid, which is its bdev's name. */
  async create(params: LvolCreateParams): Promise<string> {
    const result = await this.rpc.call('bdev_lvol_create', {
      ...storeParams(params.store),
      lvol_name: params.lvolName,
      size_in_mib: params.sizeMib,
      ...ifDefined('thin_provision', params.thinProvision),
      ...ifDefined('clear_method', params.clearMethod),
    });
    return text(result, 'bdev_lvol_create');
  }

  async delete(lvolName: string): Promise<void> {
    flag(await this.rpc.call('bdev_lvol_delete', { name: lvolName }), 'bdev_lvol_delete');
  }

  /** The snapshot's uuid. `snapshotName` is a bare name: it lands in the lvol's store. */
  async snapshot(lvolName: string, snapshotName: string): Promise<string> {
    const params = { lvol_name: lvolName, snapshot_name: snapshotName };
    return text(await this.rpc.call('bdev_lvol_snapshot', params), 'bdev_lvol_snapshot');
  }

  /** The clone's uuid. */
  async clone(snapshotName: string, cloneName: string): Promise<string> {
    const params = { snapshot_name: snapshotName, clone_name: cloneName };
    return text(await this.rpc.call('bdev_lvol_clone', params), 'bdev_lvol_clone');
  }

  /** A clone of any bdev as external snapshot; `bdev` should be a uuid, since its name is kept for ever. */
  async cloneBdev(bdev: string, lvsName: string, cloneName: string): Promise<string> {
    const params = { bdev, lvs_name: lvsName, clone_name: cloneName };
    return text(await this.rpc.call('bdev_lvol_clone_bdev', params), 'bdev_lvol_clone_bdev');
  }

  async resize(lvolName: string, sizeMib: number): Promise<void> {
    const params = { name: lvolName, size_in_mib: sizeMib };
    flag(await this.rpc.call('bdev_lvol_resize', params), 'bdev_lvol_resize');
  }

  async rename(oldName: string, newName: string): Promise<void> {
    const params = { old_name: oldName, new_name: newName };
    flag(await this.rpc.call('bdev_lvol_rename', params), 'bdev_lvol_rename');
  }

  async setReadOnly(lvolName: string): Promise<void> {
    flag(
      await this.rpc.call('bdev_lvol_set_read_only', { name: lvolName }),
      'bdev_lvol_set_read_only',
    );
  }

  /** Makes the snapshot `parentName` the parent; SpdkError EEXIST when it is already. */
  async setParent(lvolName: string, parentName: string): Promise<void> {
    const params = { lvol_name: lvolName, parent_name: parentName };
    flag(await this.rpc.call('bdev_lvol_set_parent', params), 'bdev_lvol_set_parent');
  }

  async inflate(lvolName: string, options?: CallOptions): Promise<void> {
    flag(
      await this.rpc.call('bdev_lvol_inflate', { name: lvolName }, options),
      'bdev_lvol_inflate',
    );
  }

  async decoupleParent(lvolName: string, options?: CallOptions): Promise<void> {
    flag(
      await this.rpc.call('bdev_lvol_decouple_parent', { name: lvolName }, options),
      'bdev_lvol_decouple_parent',
    );
  }

  /** Copies the clusters that `srcLvolName` itself holds onto another bdev; gives the operation's id. */
  async startShallowCopy(srcLvolName: string, dstBdevName: string): Promise<number> {
    const params = { src_lvol_name: srcLvolName, dst_bdev_name: dstBdevName };
    const result = await this.rpc.call('bdev_lvol_start_shallow_copy', params);
    return record((fields) => fields.required('operation_id', count))(
      result,
      'bdev_lvol_start_shallow_copy',
    );
  }

  /** The target forgets an operation once it has told its end: a later check gives SpdkError ENODEV. */
  async checkShallowCopy(operationId: number): Promise<ShallowCopyProgress> {
    const result = await this.rpc.call('bdev_lvol_check_shallow_copy', {
      operation_id: operationId,
    });
    return parseShallowCopyProgress(result, 'bdev_lvol_check_shallow_copy');
  }

  /** Lariat's extension: of at most MAX_LVOL_CLUSTER_DIGESTS clusters at a time. Stock SPDK has no such method. */
  async getClusterDigests(
    lvolName: string,
    firstCluster: number,
    clusters: number,
  ): Promise<LvolClusterDigests> {
    const method = 'lariat_lvol_get_cluster_digests';
    const params = { name: lvolName, first_cluster: firstCluster, num_clusters: clusters };
    return parseClusterDigests(await this.rpc.call(method, params), method);
  }
}

function storeParams(store: LvstoreRef): { readonly uuid: string } | { readonly lvs_name: string } {
  return 'uuid' in store ? { uuid: store.uuid } : { lvs_name: store.lvsName };
}
