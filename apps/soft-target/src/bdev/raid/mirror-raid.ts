import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { KeyedQueue, MIB } from '@lariat/kernel';
import type { Bdev } from '../bdev.js';
import { IoGate } from '../io-gate.js';
import { RateLimits } from '../rate-limits.js';
import { OverlapOrder } from './overlap-order.js';
import { RaidBdev, RaidLevel, type RaidOptions, type RaidProcess } from './raid-bdev.js';
import { RaidMember } from './raid-member.js';
import { UnconfirmedLosses } from './unconfirmed-losses.js';

/** Of bdev_raid_set_options; for rebuilds that begin after it. */
export interface RebuildOptions {
  /** What is copied at a time; writes to the raid wait meanwhile. */
  readonly windowBytes: number;
  /** 0 is unlimited. */
  readonly maxMibPerSecond: number;
}

/** SPDK's (module/bdev/raid/bdev_raid.c). */
export const DEFAULT_REBUILD_OPTIONS: RebuildOptions = Object.freeze({
  windowBytes: MIB,
  maxMibPerSecond: 0,
});

/**
 * raid1. A write is acknowledged when every member has answered, and a member that failed it has left the
 * raid before that: whatever is a member holds all acknowledged writes. The last one never leaves for an
 * error of its own. Told to hold, the raid also waits until that loss is on record.
 */
export class MirrorRaid extends RaidBdev {
  override readonly level = RaidLevel.raid1;
  override readonly minOperational = 1;
  readonly losses = new UnconfirmedLosses();
  /** Changes of the members let writes under way end first. */
  private readonly writes = new IoGate();
  private readonly changes = new KeyedQueue();
  private readonly order = new OverlapOrder();
  private nextReader = 0;
  private rebuild: { readonly member: RaidMember; doneBytes: number } | undefined;

  constructor(
    options: RaidOptions,
    private readonly onMemberFailed: (member: RaidMember, error: unknown) => void,
  ) {
    super(options);
  }

  override get process(): RaidProcess | undefined {
    if (this.rebuild === undefined) return undefined;
    const { member, doneBytes } = this.rebuild;
    return {
      target: member.name,
      blocks: doneBytes / this.blockSizeBytes,
      percent: Math.floor((doneBytes / this.sizeBytes) * 100),
    };
  }

  /** Runs `change` while no write is under way and new ones wait; one change at a time. */
  betweenWrites<T>(change: () => T | Promise<T>): Promise<T> {
    return this.changes.run(this.name, async () => {
      await this.writes.close();
      try {
        return await change();
      } finally {
        this.writes.open();
      }
    });
  }

  /** Fills a member that writes go to already; false when it was removed before it was full. */
  async fill(
    member: RaidMember,
    { windowBytes, maxMibPerSecond }: RebuildOptions,
  ): Promise<boolean> {
    const pace = new RateLimits();
    pace.set({ rw_mbytes_per_sec: maxMibPerSecond });
    const blocks = Math.max(1, Math.floor(windowBytes / this.blockSizeBytes));
    const window = blocks * this.blockSizeBytes;
    const rebuild = { member, doneBytes: 0 };
    this.rebuild = rebuild;
    try {
      while (rebuild.doneBytes < this.sizeBytes && !member.isRemoved) {
        const offset = rebuild.doneBytes;
        const length = Math.min(window, this.sizeBytes - offset);
        await pace.admit(true, length);
        if (member.isRemoved) break;
        await this.betweenWrites(async () => {
          const data = await this.readMirrored(offset, length);
          await member.run((bdev) => bdev.write(offset, data));
        });
        rebuild.doneBytes += length;
      }
      // The others' content may have been flushed long ago: a member counts when its own is as safe.
      await member.run((bdev) => bdev.flush());
      if (member.isRemoved) return false;
      member.isRebuilding = false;
      return true;
    } finally {
      this.rebuild = undefined;
    }
  }

  protected override sizeOf(memberSizesBytes: readonly number[]): number {
    return Math.min(...memberSizesBytes);
  }

  protected override readBlocks(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return this.order.read(offsetBytes, lengthBytes, () =>
      this.readMirrored(offsetBytes, lengthBytes),
    );
  }

  protected override writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    return this.order.write(offsetBytes, data.length, () =>
      this.mirror((bdev) => bdev.write(offsetBytes, data)),
    );
  }

  protected override zeroBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.order.write(offsetBytes, lengthBytes, () =>
      this.mirror((bdev) => bdev.writeZeroes(offsetBytes, lengthBytes)),
    );
  }

  protected override flushBlocks(): Promise<void> {
    return this.mirror((bdev) => bdev.flush());
  }

  private async readMirrored(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const tried = new Set<RaidMember>();
    let failure: unknown;
    for (;;) {
      const readable = this.members.filter(
        (member) => !member.isRebuilding && !member.isRemoved && !tried.has(member),
      );
      const member = readable[this.nextReader++ % Math.max(1, readable.length)];
      if (member === undefined) throw failure ?? this.noMembers();
      try {
        return await member.run((bdev) => bdev.read(offsetBytes, lengthBytes));
      } catch (error) {
        tried.add(member);
        failure = error;
      }
    }
  }

  private async mirror(io: (bdev: Bdev) => Promise<void>): Promise<void> {
    await this.writes.run(() => this.writeToAll(io));
    // Outside of `writes`: it has landed, only the answer waits, and members may change meanwhile. Reads of it wait as
    // well: what is not on record yet may be gone after a crash, and must not have been seen.
    await this.losses.settled();
  }

  private async writeToAll(io: (bdev: Bdev) => Promise<void>): Promise<void> {
    const { members } = this;
    const outcomes = await Promise.allSettled(members.map((member) => member.run(io)));
    const failures = members.flatMap((member, index) => {
      const outcome = outcomes[index];
      return outcome?.status === 'rejected' ? [{ member, error: outcome.reason as unknown }] : [];
    });
    const failed = new Set(failures.map(({ member }) => member));
    // Another write may have removed a member on which this one succeeded: it counts no longer.
    const written = members.some(
      (member) => !failed.has(member) && !member.isRemoved && !member.isRebuilding,
    );
    if (!written) {
      const error = failures[0]?.error ?? this.noMembers();
      // Nothing vouches any longer for what a member that is being filled has here.
      for (const member of this.members) {
        if (member.isRebuilding) this.onMemberFailed(member, error);
      }
      throw error;
    }
    for (const { member, error } of failures) {
      if (!member.isRemoved) this.onMemberFailed(member, error);
    }
  }

  private noMembers(): BlockIoError {
    return new BlockIoError(BlockIoFailure.gone, `${this.name} has no base bdev left`);
  }
}
