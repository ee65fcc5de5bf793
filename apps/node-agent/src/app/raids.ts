import { lariatError, volumeNqn } from '@lariat/contracts';
import type { RaidInfo } from '@lariat/spdk';
import { holdsLeg } from '../domain/engine-health.js';
import type { OwnedLeg, OwnedRaid } from '../domain/ownership.js';
import type { TargetPort } from '../ports/target.port.js';
import type { Exports } from './exports.js';
import { isAbsent, isGateOpen } from './target-errors.js';
import { QUIESCE, gateExpired } from './write-gates.js';

/** Stock SPDK wants two bases for raid1; the method tells a target that has grown beyond that. */
export const GROW = 'bdev_raid_grow_base_bdev';

/** The raid bdevs beneath engines, and what a target needs for a leg to come into one that runs. */
export class Raids {
  constructor(
    private readonly target: TargetPort,
    private readonly exports: Exports,
  ) {}

  /** By name, confirmed by uuid. */
  async see(record: OwnedRaid): Promise<RaidInfo | undefined> {
    const raids = await this.target.spdk().raid.getBdevs();
    const raid = raids.find((candidate) => candidate.name === record.name);
    if (raid === undefined || record.uuid === null || raid.uuid === record.uuid) return raid;
    throw lariatError(
      'NOT_OWNED',
      `the target has a raid '${record.name}' with uuid ${raid.uuid}, not ${record.uuid}; it is left untouched`,
    );
  }

  /** The raid over `legs`, unless it runs already. */
  async assemble(record: OwnedRaid, legs: readonly OwnedLeg[]): Promise<void> {
    const seen = await this.see(record);
    if (seen !== undefined && seen.state === 'online') return;
    // A raid that has lost all its bases stays listed as offline; it holds nothing and is in the way.
    if (seen !== undefined) await this.target.spdk().raid.delete(record.name);
    await this.create(record, legs);
  }

  /**
   * A leg more in the running raid; every write reaches it from then on. The caller holds all I/O behind the gate.
   * `beforeRemake` is called where the raid and its export have to go and come for that. Whether they had to.
   */
  async takeIn(
    record: OwnedRaid,
    leg: OwnedLeg,
    gate: string,
    beforeRemake: () => Promise<void>,
  ): Promise<boolean> {
    const seen = await this.see(record);
    if (seen === undefined) {
      throw lariatError(
        'TARGET_UNAVAILABLE',
        `the raid of volume ${record.name} is being put back`,
      );
    }
    if (holdsLeg(seen.baseBdevs, leg)) return false;
    if (this.target.supports(GROW)) {
      await this.grow(record, leg, gate);
      return false;
    }
    const others = record.params.legs.filter(({ replica }) => replica !== leg.replica);
    requireWhole(record.name, seen, others);
    await beforeRemake();
    await this.exports.withoutNamespace(volumeNqn(record.name), () =>
      this.remake(record, others, leg),
    );
    return true;
  }

  private async grow({ name }: OwnedRaid, leg: OwnedLeg, gate: string): Promise<void> {
    // With the gate's id: the target itself knows whether that raid was held all the time, as after a restart it was not.
    const known = this.target.supports(QUIESCE) ? gate : undefined;
    try {
      await this.target.spdk().raid.growBaseBdev(name, leg.bdevName, known);
    } catch (reason) {
      if (isGateOpen(reason)) throw gateExpired(name, gate);
      throw reason;
    }
  }

  /** Made anew with the leg, and without it if that fails. */
  private async remake(
    record: OwnedRaid,
    others: readonly OwnedLeg[],
    leg: OwnedLeg,
  ): Promise<void> {
    try {
      await this.replace(record, [...others, leg]);
    } catch (reason) {
      await this.replace(record, await this.present(others));
      throw reason;
    }
  }

  private async replace(record: OwnedRaid, legs: readonly OwnedLeg[]): Promise<void> {
    const { raid } = this.target.spdk();
    if ((await this.see(record)) !== undefined) await raid.delete(record.name);
    await this.create(record, legs);
    const made = await this.see(record);
    // It waits for a base that is not there; nobody else does.
    if (made?.state === 'online') return;
    throw lariatError(
      'LEG_UNREACHABLE',
      `the raid of volume ${record.name} is ${made?.state ?? 'gone'} after it was made over ${legs.map(({ replica }) => replica).join(', ')}`,
    );
  }

  private async present(legs: readonly OwnedLeg[]): Promise<readonly OwnedLeg[]> {
    const found = await Promise.all(
      legs.map(async (leg) => {
        try {
          await this.target.spdk().bdev.getBdev(leg.bdevName);
          return [leg];
        } catch (reason) {
          if (isAbsent(reason)) return [];
          throw reason;
        }
      }),
    );
    return found.flat();
  }

  private async create(record: OwnedRaid, legs: readonly OwnedLeg[]): Promise<void> {
    // One base without the extension: a raid0 of one is the same bytes at the same places.
    const single = legs.length === 1 && !this.target.supports(GROW);
    await this.target.spdk().raid.create({
      name: record.name,
      raidLevel: single ? 'raid0' : 'raid1',
      ...(single ? { stripSizeKib: 64 } : {}),
      baseBdevs: legs.map((leg) => leg.bdevName),
      ...(record.uuid === null ? {} : { uuid: record.uuid }),
    });
  }
}

/** One that the raid has dropped may have missed writes: it must not come back with those that have not. */
function requireWhole(volume: string, { baseBdevs }: RaidInfo, legs: readonly OwnedLeg[]): void {
  const off = legs.find((leg) => leg.state !== 'member' || !holdsLeg(baseBdevs, leg));
  if (off === undefined) return;
  throw lariatError(
    'LEG_UNREACHABLE',
    `volume ${volume} is about to lose its leg ${off.replica}; no other joins until that is on record`,
  );
}
