import type { JsonObject, MethodCall } from '../../rpc/method.js';
import type { Bdev } from '../bdev.js';
import { MeteredBdev } from '../metered-bdev.js';
import { RaidMember } from './raid-member.js';

export const RaidLevel = Object.freeze({
  raid0: 'raid0',
  raid1: 'raid1',
  concat: 'concat',
} as const);
export type RaidLevel = (typeof RaidLevel)[keyof typeof RaidLevel];

export const RaidState = Object.freeze({
  /** Waits for base bdevs; not registered yet. */
  configuring: 'configuring',
  online: 'online',
  /** Has lost more than it can do without; no longer registered. */
  offline: 'offline',
} as const);
export type RaidState = (typeof RaidState)[keyof typeof RaidState];

/** A place for a base bdev; its name and uuid are null once that is lost. */
export interface RaidSlot {
  name: string | null;
  member: RaidMember | undefined;
}

export interface RaidOptions {
  readonly name: string;
  readonly uuid: string;
  readonly stripSizeKib: number;
  readonly baseNames: readonly string[];
}

export interface RaidProcess {
  readonly target: string;
  readonly blocks: number;
  readonly percent: number;
}

const NULL_UUID = '00000000-0000-0000-0000-000000000000';

/** A raid bdev of any level. Its members come and go through the module, which holds their claims. */
export abstract class RaidBdev extends MeteredBdev {
  override readonly productName = 'Raid Volume';
  override readonly name: string;
  override readonly uuid: string;
  readonly stripSizeKib: number;
  readonly slots: RaidSlot[];
  state: RaidState = RaidState.configuring;
  operationalCount: number;
  private blockSize = 0;
  private size = 0;
  abstract readonly level: RaidLevel;
  /** How many members it can't do without. */
  abstract readonly minOperational: number;

  constructor({ name, uuid, stripSizeKib, baseNames }: RaidOptions) {
    super();
    this.name = name;
    this.uuid = uuid;
    this.stripSizeKib = stripSizeKib;
    this.slots = baseNames.map((base) => ({ name: base, member: undefined }));
    this.operationalCount = baseNames.length;
  }

  override get blockSizeBytes(): number {
    return this.blockSize;
  }

  override get sizeBytes(): number {
    return this.size;
  }

  /** Members in the order of their slots. */
  get members(): readonly RaidMember[] {
    return this.slots.flatMap(({ member }) => (member === undefined ? [] : [member]));
  }

  get process(): RaidProcess | undefined {
    return undefined;
  }

  /** The size that the level makes of its members' sizes. */
  protected abstract sizeOf(memberSizesBytes: readonly number[]): number;

  /** Takes block size and size from the members; true when the size is another than before. */
  takeGeometry(): boolean {
    const [first] = this.members;
    this.blockSize = first?.bdev.blockSizeBytes ?? this.blockSize;
    const before = this.size;
    const sizes = this.members.map(({ bdev }) => bdev.sizeBytes);
    if (sizes.length > 0) this.size = this.sizeOf(sizes);
    return this.size !== before;
  }

  slotOf(bdev: Bdev): RaidSlot | undefined {
    return this.slots.find(({ member }) => member?.bdev === bdev);
  }

  override describe(): JsonObject {
    return { raid: this.toJson() };
  }

  /** With the base bdevs that it has now, or waits for. */
  override get creation(): MethodCall {
    return {
      method: 'bdev_raid_create',
      params: {
        name: this.name,
        uuid: this.uuid,
        raid_level: this.level,
        ...(this.stripSizeKib === 0 ? {} : { strip_size_kb: this.stripSizeKib }),
        superblock: false,
        base_bdevs: this.slots.flatMap(({ name }) => (name === null ? [] : [name])),
      },
    };
  }

  /** raid_bdev_write_info_json (module/bdev/raid/bdev_raid.c). */
  toJson(): JsonObject {
    const { process } = this;
    return {
      uuid: this.uuid,
      strip_size_kb: this.stripSizeKib,
      state: this.state,
      raid_level: this.level,
      superblock: false,
      num_base_bdevs: this.slots.length,
      num_base_bdevs_discovered: this.members.length,
      num_base_bdevs_operational: this.operationalCount,
      ...(process === undefined
        ? {}
        : {
            process: {
              type: 'rebuild',
              target: process.target,
              progress: { blocks: process.blocks, percent: process.percent },
            },
          }),
      base_bdevs_list: this.slots.map(({ name, member }) => ({
        name,
        uuid: member?.uuid ?? NULL_UUID,
        is_configured: member !== undefined,
        data_offset: 0,
        data_size: this.dataBlocks(member),
      })),
    };
  }

  private dataBlocks(member: RaidMember | undefined): number {
    if (this.blockSize === 0) return 0;
    const bytes = this.level === RaidLevel.raid1 ? this.size : (member?.bdev.sizeBytes ?? 0);
    return bytes / this.blockSize;
  }
}
