import { randomUUID } from 'node:crypto';
import { delay, withDeadline } from '@lariat/kernel';
import type { Log } from '../../app/log.js';
import type { MethodCall } from '../../rpc/method.js';
import { RpcError } from '../../rpc/rpc-error.js';
import { BdevClaim, BdevEvent, type Bdev, type BdevRegistry } from '../bdev.js';
import { DEFAULT_REBUILD_OPTIONS, MirrorRaid, type RebuildOptions } from './mirror-raid.js';
import {
  RaidLevel,
  RaidState,
  type RaidBdev,
  type RaidOptions,
  type RaidSlot,
} from './raid-bdev.js';
import { RaidMember } from './raid-member.js';
import { StripedRaid } from './striped-raid.js';

const MAX_NAME_BYTES = 63;
/** How long the end of a raid waits for its last I/O; a base bdev that hangs for longer is cut off. */
const LAST_IO_MS = 10_000;

export interface NewRaid {
  readonly name: string;
  readonly level: RaidLevel;
  readonly stripSizeKib: number;
  readonly baseNames: readonly string[];
  readonly uuid: string | undefined;
}

export interface RaidModuleDeps {
  readonly registry: BdevRegistry;
  readonly log: Log;
  /** 1 when left out: another base can be added in place. */
  readonly minMirrorBases?: number;
}

/** The raids of a target and the claims on their base bdevs. */
export class RaidModule {
  private readonly raids = new Map<string, RaidBdev>();
  private rebuildOptions = DEFAULT_REBUILD_OPTIONS;

  constructor(private readonly deps: RaidModuleDeps) {
    deps.registry.listen((event, bdev) => {
      if (event === BdevEvent.register) this.appeared(bdev);
      if (event === BdevEvent.unregister) this.disappeared(bdev);
      if (event === BdevEvent.resize) this.baseResized(bdev);
    });
  }

  setRebuildOptions(changes: Partial<RebuildOptions>): void {
    this.rebuildOptions = { ...this.rebuildOptions, ...changes };
  }

  get optionsCall(): MethodCall {
    const { windowBytes, maxMibPerSecond } = this.rebuildOptions;
    return {
      method: 'bdev_raid_set_options',
      params: {
        process_window_size_kb: windowBytes / 1024,
        process_max_bandwidth_mb_sec: maxMibPerSecond,
      },
    };
  }

  list(): readonly RaidBdev[] {
    return [...this.raids.values()];
  }

  find(name: string): RaidBdev | undefined {
    return this.raids.get(name);
  }

  /** Base bdevs that are not there yet are waited for, as in SPDK: the raid is configuring until then. */
  create(options: NewRaid): RaidBdev {
    this.check(options);
    const raid = this.construct(options);
    this.raids.set(raid.name, raid);
    try {
      for (const slot of raid.slots) {
        const bdev = this.deps.registry.find(slot.name ?? '');
        if (bdev !== undefined) this.configure(raid, slot, bdev, slot.name ?? bdev.name);
      }
      this.goOnlineIfComplete(raid);
    } catch (error) {
      for (const { member } of raid.slots) if (member !== undefined) this.letGo(raid, member);
      this.raids.delete(raid.name);
      throw error;
    }
    return raid;
  }

  async delete(raid: RaidBdev): Promise<void> {
    await this.flushMembers(raid);
    this.raids.delete(raid.name);
    const wasOnline = raid.state === RaidState.online;
    raid.state = RaidState.offline;
    const removed = wasOnline ? this.deps.registry.remove(raid) : Promise.resolve();
    if (raid instanceof MirrorRaid) raid.losses.abandon();
    // A write still on its way to a base bdev must not arrive after those of a raid made of it next.
    if (wasOnline) await Promise.race([Promise.all([raid.retire(), removed]), delay(LAST_IO_MS)]);
    for (const slot of raid.slots) this.empty(raid, slot);
    await raid.retire();
  }

  /** The target stops: no one hears of held writes any more, nor can put a loss on record. */
  abandonHeldWrites(): void {
    for (const raid of this.raids.values()) {
      if (raid instanceof MirrorRaid) raid.losses.abandon();
    }
  }

  /** Members that stop in step should be in step after a power cut as well. One that can't be flushed keeps no raid. */
  private async flushMembers(raid: RaidBdev): Promise<void> {
    if (raid.state !== RaidState.online) return;
    await Promise.all(
      raid.members.map(async (member) => {
        try {
          const flushed = member.run((bdev) => bdev.flush());
          await withDeadline(`flushing ${member.name}`, LAST_IO_MS, flushed);
        } catch (error) {
          this.deps.log.warning('raid member not flushed', {
            raid: raid.name,
            member: member.name,
            error: error instanceof Error ? error.message : String(error),
          });
        }
      }),
    );
  }

  /** Takes a base bdev out of the raid that holds it. Who asks for it knows of the loss. */
  removeBase(bdev: Bdev): void {
    for (const raid of this.raids.values()) {
      const slot = raid.slotOf(bdev);
      if (slot !== undefined) return this.takeOut(raid, slot);
    }
    throw RpcError.errno('ENODEV');
  }

  /** Fills an empty slot with a bdev of unknown content, which is copied to it in the background. */
  async addBase(raid: RaidBdev, name: string): Promise<void> {
    if (raid.process !== undefined) throw RpcError.errno('EPERM');
    const slot = raid.slots.find((each) => each.name === null);
    if (slot === undefined) throw RpcError.errno('EINVAL');
    const bdev = this.requireBase(name);
    if (!(raid instanceof MirrorRaid) || raid.state !== RaidState.online) {
      throw RpcError.errno('EINVAL');
    }
    const member = await raid.betweenWrites(() => {
      if (slot.name !== null) throw RpcError.errno('EBUSY');
      return this.configure(raid, slot, bdev, name, true);
    });
    raid.operationalCount += 1;
    this.rebuild(raid, slot, member);
  }

  /**
   * Takes a bdev in as a full member at once. Its content must be the raid's, with nothing written between:
   * the caller has held the raid's gate since it was made.
   */
  async growBase(raid: RaidBdev, name: string, checkGate: () => void): Promise<void> {
    if (!(raid instanceof MirrorRaid) || raid.state !== RaidState.online) {
      throw RpcError.errno('EINVAL');
    }
    this.requireBase(name);
    checkGate();
    await raid.betweenWrites(async () => {
      const bdev = this.requireBase(name);
      // It counts as a copy of what users may have flushed long ago.
      await bdev.flush();
      // The gate may have run out while the last writes ended.
      checkGate();
      const vacant = raid.slots.find((each) => each.name === null);
      const slot: RaidSlot = vacant ?? { name: null, member: undefined };
      this.configure(raid, slot, bdev, name);
      if (vacant === undefined) raid.slots.push(slot);
      raid.operationalCount += 1;
    });
  }

  private check({ name, level, stripSizeKib, baseNames }: NewRaid): void {
    const bytes = Buffer.byteLength(name);
    if (bytes < 1 || bytes > MAX_NAME_BYTES) throw RpcError.errno('EINVAL');
    if (this.raids.has(name) || this.deps.registry.find(name) !== undefined) {
      throw RpcError.errno('EEXIST');
    }
    const isPowerOf2 = stripSizeKib > 0 && (stripSizeKib & (stripSizeKib - 1)) === 0;
    if (level === RaidLevel.raid1 ? stripSizeKib !== 0 : !isPowerOf2)
      throw RpcError.errno('EINVAL');
    const { minMirrorBases = 1 } = this.deps;
    const minBases = level === RaidLevel.raid1 ? minMirrorBases : 1;
    if (baseNames.length < minBases) throw RpcError.errno('EINVAL');
  }

  private construct({ name, level, stripSizeKib, baseNames, uuid }: NewRaid): RaidBdev {
    const options: RaidOptions = { name, uuid: uuid ?? randomUUID(), stripSizeKib, baseNames };
    if (level !== RaidLevel.raid1) return new StripedRaid(level, options);
    const raid: MirrorRaid = new MirrorRaid(options, (member, error) => {
      this.deps.log.warning('raid member failed', {
        raid: name,
        member: member.name,
        error: error instanceof Error ? error.message : String(error),
      });
      const slot = raid.slots.find((each) => each.member === member);
      if (slot !== undefined) this.lose(raid, slot);
    });
    return raid;
  }

  private requireBase(name: string): Bdev {
    const bdev = this.deps.registry.find(name);
    if (bdev === undefined) throw RpcError.errno('ENODEV');
    return bdev;
  }

  /** Claims the bdev and puts it into the slot. */
  private configure(
    raid: RaidBdev,
    slot: RaidSlot,
    bdev: Bdev,
    name: string,
    isRebuilding = false,
  ): RaidMember {
    const { registry } = this.deps;
    if (registry.claimOf(bdev) !== undefined) throw RpcError.errno('EPERM');
    const [first] = raid.members;
    if (first !== undefined && first.bdev.blockSizeBytes !== bdev.blockSizeBytes) {
      throw RpcError.errno('EINVAL');
    }
    const tooSmall = raid.state === RaidState.online && bdev.sizeBytes < raid.sizeBytes;
    if (tooSmall) throw RpcError.errno('EINVAL');
    registry.claim(bdev, claimUser(raid), BdevClaim.exclusiveWrite);
    const member = new RaidMember(bdev, isRebuilding);
    slot.name = name;
    slot.member = member;
    return member;
  }

  private goOnlineIfComplete(raid: RaidBdev): void {
    if (raid.state !== RaidState.configuring || raid.members.length < raid.slots.length) return;
    raid.takeGeometry();
    if (raid.sizeBytes === 0 || (raid.stripSizeKib * 1024) % raid.blockSizeBytes !== 0) {
      throw RpcError.errno('EINVAL');
    }
    raid.state = RaidState.online;
    try {
      this.deps.registry.register(raid);
    } catch (error) {
      raid.state = RaidState.configuring;
      throw error;
    }
  }

  /** A member is gone by itself. */
  private lose(raid: RaidBdev, slot: RaidSlot): void {
    const { name, member } = slot;
    const wasWhole = member !== undefined && !member.isRebuilding;
    if (wasWhole && name !== null && raid instanceof MirrorRaid) raid.losses.add(name);
    this.takeOut(raid, slot);
  }

  /** The raid goes on without a member, or goes offline. */
  private takeOut(raid: RaidBdev, slot: RaidSlot): void {
    const { name } = slot;
    this.empty(raid, slot);
    if (raid.state === RaidState.configuring) {
      slot.name = name;
      return;
    }
    raid.operationalCount -= 1;
    const intact = raid.members.filter((member) => !member.isRebuilding).length;
    if (raid.state === RaidState.online && intact < raid.minOperational) {
      raid.state = RaidState.offline;
      this.deps.registry.unregister(raid);
      void raid.retire();
    }
    // The one that left may have been the smallest. SPDK looks at the sizes again only when another base is resized.
    if (raid.state === RaidState.online && raid.takeGeometry()) this.deps.registry.resized(raid);
    // As raid_bdev_io_device_unregister_cb: without a base bdev nothing is left to keep.
    if (raid.state === RaidState.offline && raid.members.length === 0) this.raids.delete(raid.name);
  }

  private empty(raid: RaidBdev, slot: RaidSlot): void {
    const { member } = slot;
    slot.name = null;
    slot.member = undefined;
    if (member !== undefined) this.letGo(raid, member);
  }

  private letGo(raid: RaidBdev, member: RaidMember): void {
    member.remove();
    this.deps.registry.release(member.bdev, claimUser(raid));
  }

  private rebuild(raid: MirrorRaid, slot: RaidSlot, member: RaidMember): void {
    raid.fill(member, this.rebuildOptions).catch((error: unknown) => {
      this.deps.log.warning('raid rebuild failed', {
        raid: raid.name,
        member: member.name,
        error: error instanceof Error ? error.message : String(error),
      });
      if (slot.member === member) this.lose(raid, slot);
    });
  }

  private appeared(bdev: Bdev): void {
    for (const raid of this.raids.values()) {
      if (raid.state !== RaidState.configuring) continue;
      const slot = raid.slots.find(
        ({ name, member }) =>
          member === undefined && name !== null && this.deps.registry.find(name) === bdev,
      );
      if (slot === undefined) continue;
      try {
        this.configure(raid, slot, bdev, slot.name ?? bdev.name);
        this.goOnlineIfComplete(raid);
      } catch (error) {
        this.deps.log.warning('raid not completed', {
          raid: raid.name,
          base: bdev.name,
          error: (error as Error).message,
        });
      }
    }
  }

  private disappeared(bdev: Bdev): void {
    for (const raid of this.raids.values()) {
      const slot = raid.slotOf(bdev);
      if (slot !== undefined) this.lose(raid, slot);
    }
  }

  private baseResized(bdev: Bdev): void {
    for (const raid of this.raids.values()) {
      if (raid.slotOf(bdev) === undefined || raid.state !== RaidState.online) continue;
      if (raid.takeGeometry()) this.deps.registry.resized(raid);
    }
  }
}

function claimUser(raid: RaidBdev): string {
  return `raid ${raid.name}`;
}
