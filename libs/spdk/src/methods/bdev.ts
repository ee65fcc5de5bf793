import type { CallOptions, RpcCaller } from '../json-rpc/spdk-client.js';
import {
  badResult,
  count,
  flag,
  ifDefined,
  list,
  nullable,
  record,
  text,
  type Parse,
} from '../result/fields.js';

/** `driver_specific.lvol` of an lvol's bdev. */
export interface LvolDetails {
  readonly lvstoreUuid: string;
  readonly baseBdev: string;
  readonly thinProvision: boolean;
  readonly allocatedClusters: number;
  readonly isSnapshot: boolean;
  readonly isClone: boolean;
  readonly isEsnapClone: boolean;
  /** Name, not alias, of the parent snapshot. */
  readonly baseSnapshot?: string;
  readonly clones: readonly string[];
  /** The name under which the external parent was given, usually its uuid. */
  readonly externalSnapshotName?: string;
}

const parseLvolDetails: Parse<LvolDetails> = record((fields) => ({
  lvstoreUuid: fields.required('lvol_store_uuid', text),
  baseBdev: fields.required('base_bdev', text),
  thinProvision: fields.required('thin_provision', flag),
  allocatedClusters: fields.required('num_allocated_clusters', count),
  isSnapshot: fields.required('snapshot', flag),
  isClone: fields.required('clone', flag),
  isEsnapClone: fields.optional('esnap_clone', flag) ?? false,
  ...ifDefined('baseSnapshot', fields.optional('base_snapshot', text)),
  clones: fields.optional('clones', list(text)) ?? [],
  ...ifDefined('externalSnapshotName', fields.optional('external_snapshot_name', text)),
}));

export interface BdevInfo {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly uuid: string;
  readonly productName: string;
  readonly blockSizeBytes: number;
  readonly numBlocks: number;
  readonly sizeBytes: number;
  /** True while a module (raid, lvol store, nvmf namespace) holds it. */
  readonly claimed: boolean;
  /** Limits a second as bdev_set_qos_limit has set them; 0 is none. */
  readonly limits?: Required<QosLimits>;
  /** Set for a logical volume. */
  readonly lvol?: LvolDetails;
}

/** What went through a bdev. */
export interface BdevIo {
  readonly name: string;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly reads: number;
  readonly writes: number;
  /** Sums of what each of them took. */
  readonly readSeconds: number;
  readonly writeSeconds: number;
}

const parseIoStats = record((fields) => ({
  tickRate: fields.required('tick_rate', count),
  bdevs: fields.required(
    'bdevs',
    list(
      record((bdev) => ({
        name: bdev.required('name', text),
        readBytes: bdev.required('bytes_read', count),
        writtenBytes: bdev.required('bytes_written', count),
        reads: bdev.required('num_read_ops', count),
        writes: bdev.required('num_write_ops', count),
        readTicks: bdev.required('read_latency_ticks', count),
        writeTicks: bdev.required('write_latency_ticks', count),
      })),
    ),
  ),
}));

const parseLimits: Parse<Required<QosLimits>> = record((fields) => ({
  readWriteIosPerSecond: fields.optional('rw_ios_per_sec', count) ?? 0,
  readWriteMbytesPerSecond: fields.optional('rw_mbytes_per_sec', count) ?? 0,
  readMbytesPerSecond: fields.optional('r_mbytes_per_sec', count) ?? 0,
  writeMbytesPerSecond: fields.optional('w_mbytes_per_sec', count) ?? 0,
}));

export const parseBdevInfo: Parse<BdevInfo> = record((fields) => {
  const blockSizeBytes = fields.required('block_size', count);
  const numBlocks = fields.required('num_blocks', count);
  const driver = fields.optional(
    'driver_specific',
    nullable(record((specific) => specific.optional('lvol', parseLvolDetails))),
  );
  return {
    name: fields.required('name', text),
    aliases: fields.required('aliases', list(text)),
    uuid: fields.required('uuid', text),
    productName: fields.required('product_name', text),
    blockSizeBytes,
    numBlocks,
    sizeBytes: blockSizeBytes * numBlocks,
    claimed: fields.required('claimed', flag),
    ...ifDefined('limits', fields.optional('assigned_rate_limits', parseLimits)),
    ...ifDefined('lvol', driver ?? undefined),
  };
});

export interface AioCreateParams {
  readonly name: string;
  readonly filename: string;
  readonly blockSizeBytes?: number;
  readonly uuid?: string;
  readonly readOnly?: boolean;
}

/** 0 takes a limit away; a limit that is not given stays as it is. */
export interface QosLimits {
  readonly readWriteIosPerSecond?: number;
  readonly readWriteMbytesPerSecond?: number;
  readonly readMbytesPerSecond?: number;
  readonly writeMbytesPerSecond?: number;
}

/** Block devices in general, AIO files, and soft-target's write gate. */
export class BdevMethods {
  constructor(private readonly rpc: RpcCaller) {}

  async getBdevs(): Promise<readonly BdevInfo[]> {
    return list(parseBdevInfo)(await this.rpc.call('bdev_get_bdevs'), 'bdev_get_bdevs');
  }

  /** One bdev by name, alias or uuid, waiting up to `waitMs` for it; SpdkError ENODEV when there is none. */
  async getBdev(name: string, waitMs?: number): Promise<BdevInfo> {
    const params = { name, ...(waitMs === undefined ? {} : { timeout: waitMs }) };
    const [bdev] = list(parseBdevInfo)(
      await this.rpc.call('bdev_get_bdevs', params),
      'bdev_get_bdevs',
    );
    if (bdev === undefined) throw badResult('bdev_get_bdevs', 'one bdev', []);
    return bdev;
  }

  /** Answered when all bdevs have been looked through for lvol stores and the like. */
  async waitForExamine(options?: CallOptions): Promise<void> {
    flag(await this.rpc.call('bdev_wait_for_examine', undefined, options), 'bdev_wait_for_examine');
  }

  /** The new bdev's name. */
  async aioCreate(params: AioCreateParams): Promise<string> {
    const result = await this.rpc.call('bdev_aio_create', {
      name: params.name,
      filename: params.filename,
      ...ifDefined('block_size', params.blockSizeBytes),
      ...ifDefined('uuid', params.uuid),
      ...ifDefined('readonly', params.readOnly),
    });
    return text(result, 'bdev_aio_create');
  }

  async aioDelete(name: string): Promise<void> {
    flag(await this.rpc.call('bdev_aio_delete', { name }), 'bdev_aio_delete');
  }

  /** Takes up a changed size of the file. */
  async aioRescan(name: string): Promise<void> {
    flag(await this.rpc.call('bdev_aio_rescan', { name }), 'bdev_aio_rescan');
  }

  async setQosLimit(name: string, limits: QosLimits): Promise<void> {
    const result = await this.rpc.call('bdev_set_qos_limit', {
      name,
      ...ifDefined('rw_ios_per_sec', limits.readWriteIosPerSecond),
      ...ifDefined('rw_mbytes_per_sec', limits.readWriteMbytesPerSecond),
      ...ifDefined('r_mbytes_per_sec', limits.readMbytesPerSecond),
      ...ifDefined('w_mbytes_per_sec', limits.writeMbytesPerSecond),
    });
    flag(result, 'bdev_set_qos_limit');
  }

  /** Of every bdev, what went through it since it was made. */
  async ioStats(): Promise<readonly BdevIo[]> {
    const answer = parseIoStats(await this.rpc.call('bdev_get_iostat'), 'bdev_get_iostat');
    return answer.bdevs.map(({ readTicks, writeTicks, ...bdev }) => ({
      ...bdev,
      readSeconds: readTicks / answer.tickRate,
      writeSeconds: writeTicks / answer.tickRate,
    }));
  }

  /**
   * Lariat's extension: finishes the I/O under way and holds what comes, until `unquiesce` or `timeoutMs`.
   * Stock SPDK has no such method.
   */
  async quiesce(name: string, gateId: string, timeoutMs: number): Promise<void> {
    const params = { name, gate_id: gateId, timeout_ms: timeoutMs };
    flag(await this.rpc.call('lariat_bdev_quiesce', params), 'lariat_bdev_quiesce');
  }

  /** `held` is false when the gate had opened by itself before: then what was done under it must be abandoned. */
  async unquiesce(name: string, gateId: string): Promise<{ readonly held: boolean }> {
    const result = await this.rpc.call('lariat_bdev_unquiesce', { name, gate_id: gateId });
    return record((fields) => ({ held: fields.required('held', flag) }))(
      result,
      'lariat_bdev_unquiesce',
    );
  }
}
