import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import { RaidBdev, RaidLevel, type RaidOptions } from './raid-bdev.js';
import type { RaidMember } from './raid-member.js';

interface Part {
  readonly member: RaidMember;
  readonly memberOffsetBytes: number;
  readonly atBytes: number;
  readonly lengthBytes: number;
}

/** Levels without redundancy: each byte is on one member, and the loss of any ends the raid. */
export class StripedRaid extends RaidBdev {
  constructor(
    override readonly level: typeof RaidLevel.raid0 | typeof RaidLevel.concat,
    options: RaidOptions,
  ) {
    super(options);
  }

  override get minOperational(): number {
    return this.slots.length;
  }

  protected override sizeOf(memberSizesBytes: readonly number[]): number {
    const whole = memberSizesBytes.map((size) => size - (size % this.stripBytes));
    if (this.level === RaidLevel.concat) return whole.reduce((sum, size) => sum + size, 0);
    return Math.min(...whole) * whole.length;
  }

  protected override async readBlocks(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const parts = this.split(offsetBytes, lengthBytes).map((part) =>
      part.member.run((bdev) => bdev.read(part.memberOffsetBytes, part.lengthBytes)),
    );
    return Buffer.concat(await settle(parts), lengthBytes);
  }

  protected override async writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    await settle(
      this.split(offsetBytes, data.length).map((part) =>
        part.member.run((bdev) =>
          bdev.write(
            part.memberOffsetBytes,
            data.subarray(part.atBytes, part.atBytes + part.lengthBytes),
          ),
        ),
      ),
    );
  }

  protected override async zeroBlocks(offsetBytes: number, lengthBytes: number): Promise<void> {
    await settle(
      this.split(offsetBytes, lengthBytes).map((part) =>
        part.member.run((bdev) => bdev.writeZeroes(part.memberOffsetBytes, part.lengthBytes)),
      ),
    );
  }

  protected override async flushBlocks(): Promise<void> {
    await settle(this.members.map((member) => member.run((bdev) => bdev.flush())));
  }

  private get stripBytes(): number {
    return this.stripSizeKib * 1024;
  }

  private split(offsetBytes: number, lengthBytes: number): readonly Part[] {
    const parts: Part[] = [];
    for (let atBytes = 0; atBytes < lengthBytes;) {
      const at = offsetBytes + atBytes;
      const { member, memberOffsetBytes, runBytes } =
        this.level === RaidLevel.raid0 ? this.locateStriped(at) : this.locateConcatenated(at);
      const length = Math.min(runBytes, lengthBytes - atBytes);
      parts.push({ member, memberOffsetBytes, atBytes, lengthBytes: length });
      atBytes += length;
    }
    return parts;
  }

  private locateStriped(at: number): {
    member: RaidMember;
    memberOffsetBytes: number;
    runBytes: number;
  } {
    const { members, stripBytes } = this;
    const inner = at % stripBytes;
    const strip = (at - inner) / stripBytes;
    const member = this.memberAt(strip % members.length);
    const memberOffsetBytes = Math.floor(strip / members.length) * stripBytes + inner;
    return { member, memberOffsetBytes, runBytes: stripBytes - inner };
  }

  private locateConcatenated(at: number): {
    member: RaidMember;
    memberOffsetBytes: number;
    runBytes: number;
  } {
    let start = 0;
    for (const member of this.members) {
      const size = member.bdev.sizeBytes - (member.bdev.sizeBytes % this.stripBytes);
      if (at < start + size) {
        return { member, memberOffsetBytes: at - start, runBytes: start + size - at };
      }
      start += size;
    }
    return { member: this.memberAt(this.members.length), memberOffsetBytes: 0, runBytes: 0 };
  }

  private memberAt(index: number): RaidMember {
    const member = this.members[index];
    if (member !== undefined) return member;
    throw new BlockIoError(BlockIoFailure.gone, `${this.name} has lost a base bdev`);
  }
}

async function settle<T>(parts: readonly Promise<T>[]): Promise<T[]> {
  const results: T[] = [];
  for (const outcome of await Promise.allSettled(parts)) {
    if (outcome.status === 'rejected') throw outcome.reason;
    results.push(outcome.value);
  }
  return results;
}
