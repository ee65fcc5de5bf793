import {
  NO_QOS,
  engineHostNqn,
  frontendHostNqn,
  volumeNqn,
  type NvmfEndpoint,
} from '@lariat/contracts';
import { toLariatError, withDeadline } from '@lariat/kernel';
import type { QosLimits, RaidInfo } from '@lariat/spdk';
import { holdsLeg } from '../domain/engine-health.js';
import { legControllerName } from '../domain/names.js';
import type { OwnedLeg, OwnedRaid } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { Controllers } from './controllers.js';
import type { Exports } from './exports.js';
import { GROW, type Raids } from './raids.js';
import { isAbsent, isOutage } from './target-errors.js';

/** As bdev_set_qos_limit takes them: 0 takes a limit away. */
export function limitsOf({ params: { qos = NO_QOS } }: OwnedRaid): Required<QosLimits> {
  return {
    readWriteIosPerSecond: qos.rwIops ?? 0,
    readWriteMbytesPerSecond: qos.rwMbps ?? 0,
    readMbytesPerSecond: qos.readMbps ?? 0,
    writeMbytesPerSecond: qos.writeMbps ?? 0,
  };
}

export interface LegLoss {
  readonly replica: string;
  readonly reason: string;
}

export interface Reached {
  readonly reachable: readonly OwnedLeg[];
  readonly unreachable: readonly LegLoss[];
}

/** A leg that does not answer in this time is started without. */
export const LEG_DEADLINE_MS = 3_000;

const HOLD = 'lariat_raid_hold_losses';
/** Below the 30 s after which Linux gives up on an NVMe command: its host gets an answer, not a reset. */
const HOLD_TIMEOUT_MS = 20_000;

/** The raid of an attached volume: its legs' paths, the raid bdev, its export. */
export class Engines {
  constructor(
    private readonly journal: JournalPort,
    private readonly target: TargetPort,
    private readonly controllers: Controllers,
    private readonly exports: Exports,
    private readonly raids: Raids,
  ) {}

  recordOf(volume: string): OwnedRaid | undefined {
    return this.journal.owned('raid', volume);
  }

  /** Connects all legs side by side; a local lvol is reachable when the target has it, unexported. */
  async reach(record: OwnedRaid, legs: readonly OwnedLeg[]): Promise<Reached> {
    const reachable: OwnedLeg[] = [];
    const unreachable: LegLoss[] = [];
    let outage: unknown;
    await Promise.all(
      legs.map(async (leg) => {
        try {
          await withDeadline(
            `connecting ${leg.replica}`,
            LEG_DEADLINE_MS,
            this.connectLeg(record, leg),
          );
          reachable.push(leg);
        } catch (reason) {
          if (isOutage(reason)) outage = reason;
          unreachable.push({ replica: leg.replica, reason: toLariatError(reason).message });
        }
      }),
    );
    // Our own target's silence says nothing about a leg (invariant 2).
    if (outage !== undefined) throw outage;
    // In the order of the record: the raid's bases stay comparable over restarts.
    reachable.sort((a, b) => legs.indexOf(a) - legs.indexOf(b));
    return { reachable, unreachable };
  }

  async connectLeg(record: OwnedRaid, leg: OwnedLeg): Promise<void> {
    if (leg.endpoint === null) {
      await this.target.spdk().bdev.getBdev(leg.uuid);
      return;
    }
    await this.controllers.ensure({
      name: legControllerName(leg.replica),
      uuid: leg.uuid,
      owner: record.owner,
      volume: record.volume,
      operation: record.operation,
      epoch: record.epoch,
      params: {
        role: 'leg',
        replica: leg.replica,
        endpoint: leg.endpoint,
        hostNqn: engineHostNqn(record.owner, record.epoch),
        copy: null,
      },
    });
  }

  /** The raid over `legs`, unless it runs already. */
  async assemble(record: OwnedRaid, legs: readonly OwnedLeg[]): Promise<void> {
    await this.raids.assemble(record, legs);
    await this.guard(record);
  }

  /** What a raid that runs must have before a host is let in; again, it changes nothing. */
  async guard(record: OwnedRaid): Promise<void> {
    // Before any host is let in: no write may be acknowledged that a leg has missed unrecorded (invariant 4).
    const holds = this.target.supports(HOLD) && this.target.supports(GROW);
    if (holds) await this.target.spdk().raid.holdLosses(record.name, HOLD_TIMEOUT_MS);
    await this.limit(record);
  }

  /** Brings the raid's limits in line with the record. */
  async limit(record: OwnedRaid): Promise<void> {
    if (record.params.qos === undefined) return;
    await this.target.spdk().bdev.setQosLimit(record.name, limitsOf(record));
  }

  /** To the hosts that `frontend.start` has let in at this epoch, else to the one that is made for it. */
  async export(record: OwnedRaid): Promise<NvmfEndpoint> {
    const nqn = volumeNqn(record.name);
    const known = this.journal.owned('subsystem', nqn);
    const isPutBack = known !== undefined && known.epoch === record.epoch;
    return this.exports.ensure({
      name: nqn,
      uuid: record.uuid ?? '',
      owner: record.owner,
      volume: record.volume,
      operation: record.operation,
      epoch: record.epoch,
      params: {
        role: 'volume',
        bdevName: record.name,
        hosts: isPutBack ? known.params.hosts : [frontendHostNqn(record.owner, record.epoch)],
        ...(isPutBack && known.params.allowAnyHost === true ? { allowAnyHost: true } : {}),
      },
    });
  }

  /** Takes away all that the records name for this volume's engine: export, raid, paths. */
  async tearDown(volume: string): Promise<void> {
    await this.end(volume);
    await this.forget(volume);
  }

  /**
   * Lets in no one any more and ends the raid. The replicas that had every write until then; null when there was no raid
   * that runs, and so no evidence. The paths stay, for `forget`.
   */
  async end(volume: string): Promise<readonly string[] | null> {
    const record = this.recordOf(volume);
    await this.exports.remove(volumeNqn(volume));
    const seen = record === undefined ? undefined : await this.see(record);
    if (record === undefined || seen === undefined) return null;
    await this.target.spdk().raid.delete(record.name);
    if (seen.state !== 'online') return null;
    // Looked at after the end: a path that broke meanwhile may have kept the last writes, or their flush, from its leg.
    const connected = await this.controllers.connected();
    return record.params.legs
      .filter((leg) => leg.state === 'member' && holdsLeg(seen.baseBdevs, leg))
      .filter(
        ({ endpoint, replica }) => endpoint === null || connected.has(legControllerName(replica)),
      )
      .map(({ replica }) => replica);
  }

  /** Takes away the paths and the records of an engine that has ended. */
  async forget(volume: string): Promise<void> {
    const record = this.recordOf(volume);
    for (const thing of this.journal.ownedBy(volume)) {
      if (thing.kind === 'controller') await this.controllers.remove(thing.name);
    }
    if (record !== undefined) await this.journal.dropOwned('raid', record.name);
  }

  /**
   * Takes a leg out of the running raid, and its path away; the record no longer names it after that. The caller
   * has seen to it that the volume's record does not count on the leg: what the raid held for it goes on.
   */
  async dropLeg(volume: string, replica: string): Promise<void> {
    const record = this.recordOf(volume);
    const leg = record?.params.legs.find((candidate) => candidate.replica === replica);
    if (record === undefined || leg === undefined) return;
    const seen = await this.see(record);
    if (seen !== undefined && holdsLeg(seen.baseBdevs, leg)) {
      try {
        await this.target.spdk().raid.removeBaseBdev(leg.bdevName);
      } catch (reason) {
        if (!isAbsent(reason)) throw reason;
      }
    }
    if (seen !== undefined && this.target.supports(HOLD)) await this.confirmLoss(record, leg);
    if (leg.endpoint !== null) await this.controllers.remove(legControllerName(replica));
    await this.updateLegs(volume, (legs) => legs.filter((other) => other.replica !== replica));
  }

  private async confirmLoss(record: OwnedRaid, leg: OwnedLeg): Promise<void> {
    try {
      await this.target.spdk().raid.confirmLosses(record.name, [leg.bdevName]);
    } catch (reason) {
      // With the raid goes what it held.
      if (!isAbsent(reason)) throw reason;
    }
  }

  /** Takes away the path of a leg that the raid does not have. */
  async forgetPath(leg: OwnedLeg): Promise<void> {
    if (leg.endpoint !== null) await this.controllers.remove(legControllerName(leg.replica));
  }

  /** Read, change, write; the volume's lane of the queue keeps others out meanwhile. */
  async updateLegs(
    volume: string,
    change: (legs: readonly OwnedLeg[]) => readonly OwnedLeg[],
  ): Promise<void> {
    const record = this.recordOf(volume);
    if (record === undefined) return;
    await this.journal.putOwned({
      ...record,
      params: { ...record.params, legs: change(record.params.legs) },
    });
  }

  /** For a raid that is made anew: it holds no I/O, whatever the one before it did. */
  async forgetGate(volume: string): Promise<void> {
    const record = this.recordOf(volume);
    if (record === undefined || record.params.gate === null) return;
    await this.journal.putOwned({ ...record, params: { ...record.params, gate: null } });
  }

  /** The raid by name, confirmed by uuid. */
  see(record: OwnedRaid): Promise<RaidInfo | undefined> {
    return this.raids.see(record);
  }

  /** See `Raids.takeIn`. */
  async takeIn(
    record: OwnedRaid,
    leg: OwnedLeg,
    gate: string,
    beforeRemake: () => Promise<void>,
  ): Promise<void> {
    const isNew = await this.raids.takeIn(record, leg, gate, beforeRemake);
    if (isNew) await this.guard(record);
  }
}
