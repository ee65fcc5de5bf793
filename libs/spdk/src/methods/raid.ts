import type { RpcCaller } from '../json-rpc/spdk-client.js';
import {
  count,
  flag,
  ifDefined,
  list,
  nullable,
  record,
  text,
  type Parse,
} from '../result/fields.js';

export interface RaidBaseInfo {
  /** Null once the base is lost or removed; its uuid is all zeros then. */
  readonly name: string | null;
  readonly uuid: string;
  readonly isConfigured: boolean;
}

export interface RaidInfo {
  readonly name: string;
  readonly uuid: string;
  /** `online`, `configuring` or `offline`. */
  readonly state: string;
  readonly raidLevel: string;
  readonly superblock: boolean;
  readonly numBaseBdevs: number;
  readonly numBaseBdevsDiscovered: number;
  readonly numBaseBdevsOperational: number;
  readonly baseBdevs: readonly RaidBaseInfo[];
}

const parseRaidBase: Parse<RaidBaseInfo> = record((fields) => ({
  name: fields.required('name', nullable(text)),
  uuid: fields.required('uuid', text),
  isConfigured: fields.required('is_configured', flag),
}));

export const parseRaidInfo: Parse<RaidInfo> = record((fields) => ({
  name: fields.required('name', text),
  uuid: fields.required('uuid', text),
  state: fields.required('state', text),
  raidLevel: fields.required('raid_level', text),
  superblock: fields.required('superblock', flag),
  numBaseBdevs: fields.required('num_base_bdevs', count),
  numBaseBdevsDiscovered: fields.required('num_base_bdevs_discovered', count),
  numBaseBdevsOperational: fields.required('num_base_bdevs_operational', count),
  baseBdevs: fields.required('base_bdevs_list', list(parseRaidBase)),
}));

export type RaidLevel = 'raid0' | 'raid1' | 'raid5f' | 'concat';
export type RaidCategory = 'all' | 'online' | 'configuring' | 'offline';

export interface RaidCreateParams {
  readonly name: string;
  readonly raidLevel: RaidLevel;
  readonly baseBdevs: readonly string[];
  /** Keeps the device's identity over a delete and create. */
  readonly uuid?: string;
  /** False unless told: a superblock would let SPDK assemble the raid behind the agent's back. */
  readonly superblock?: boolean;
  /** 0, which is a must, for raid1. */
  readonly stripSizeKib?: number;
}

/** Raid bdevs. Stock SPDK wants two bases at least for raid1. */
export class RaidMethods {
  constructor(private readonly rpc: RpcCaller) {}

  async create(params: RaidCreateParams): Promise<void> {
    const result = await this.rpc.call('bdev_raid_create', {
      name: params.name,
      raid_level: params.raidLevel,
      base_bdevs: params.baseBdevs,
      strip_size_kb: params.stripSizeKib ?? 0,
      superblock: params.superblock ?? false,
      ...(params.uuid === undefined ? {} : { uuid: params.uuid }),
    });
    flag(result, 'bdev_raid_create');
  }

  async delete(name: string): Promise<void> {
    flag(await this.rpc.call('bdev_raid_delete', { name }), 'bdev_raid_delete');
  }

  async getBdevs(category: RaidCategory = 'all'): Promise<readonly RaidInfo[]> {
    const result = await this.rpc.call('bdev_raid_get_bdevs', { category });
    return list(parseRaidInfo)(result, 'bdev_raid_get_bdevs');
  }

  /** Takes the base `baseName` out of its raid. */
  async removeBaseBdev(baseName: string): Promise<void> {
    flag(
      await this.rpc.call('bdev_raid_remove_base_bdev', { name: baseName }),
      'bdev_raid_remove_base_bdev',
    );
  }

  /**
   * Adds a mirror leg in place, with no copying; not in stock SPDK (soft-target and Longhorn's fork have it).
   * With `gateId`, soft-target's own, it is refused with ESTALE unless that gate is still closed.
   */
  async growBaseBdev(raidName: string, baseName: string, gateId?: string): Promise<void> {
    const params = { raid_name: raidName, base_name: baseName, ...ifDefined('gate_id', gateId) };
    flag(await this.rpc.call('bdev_raid_grow_base_bdev', params), 'bdev_raid_grow_base_bdev');
  }

  /**
   * Lariat's extension: a raid1 that loses a base acknowledges no write until `confirmLosses` names it, and fails the
   * write after `timeoutMs`. Stock SPDK has no such method.
   */
  async holdLosses(raidName: string, timeoutMs: number): Promise<void> {
    const params = { name: raidName, timeout_ms: timeoutMs };
    flag(await this.rpc.call('lariat_raid_hold_losses', params), 'lariat_raid_hold_losses');
  }

  /** The losses of these bases are on record. Answers which are not yet; a base that is not lost is left alone. */
  async confirmLosses(
    raidName: string,
    baseNames: readonly string[],
  ): Promise<{ readonly unconfirmed: readonly string[] }> {
    const params = { name: raidName, base_bdevs: baseNames };
    const result = await this.rpc.call('lariat_raid_confirm_losses', params);
    return record((fields) => ({ unconfirmed: fields.required('unconfirmed', list(text)) }))(
      result,
      'lariat_raid_confirm_losses',
    );
  }
}
