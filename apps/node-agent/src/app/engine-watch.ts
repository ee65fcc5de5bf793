import { ReplicaMode } from '@lariat/contracts';
import { toLariatError, type Clock, type KeyedQueue, type ReconcileCounts } from '@lariat/kernel';
import { type EngineSight, type Patience, holdsLeg, judgeEngine } from '../domain/engine-health.js';
import type { OwnedRaid } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { ReachabilityPort } from '../ports/reachability.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { Controllers } from './controllers.js';
import type { Engines, LegLoss, Reached } from './engines.js';
import type { Frontends } from './frontends.js';
import type { LossReporter } from './loss-reporter.js';
import { RepairLanes } from './repair-lanes.js';

export interface EngineWatchParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly engines: Engines;
  readonly controllers: Controllers;
  readonly reachability: ReachabilityPort;
  /** Why the lvol of this uuid can't be kept here; undefined: nothing says so. */
  readonly lostLvol: (uuid: string) => string | undefined;
  readonly losses: LossReporter;
  readonly frontends: Pick<Frontends, 'hasServedSince'>;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly counts: ReconcileCounts;
  readonly log: LogPort;
}

/**
 * Below the 2 s after which the target fails I/O on a broken path: until then writes wait for the leg. A target that is
 * killed is started again by its agent within 250 ms, and found by the next try to connect, a second later.
 */
const PATH_PATIENCE: Patience = { brokenMs: 1_300, refusedMs: 400 };
/** After a restart all recorded legs are waited for this long; then those that answer carry on. */
const RESTORE_DEADLINE_MS = 5_000;

/**
 * Compares each engine with its record: reports legs that are lost, and puts back an engine that its target
 * no longer runs. A poll that fails tells nothing.
 */
export class EngineWatch {
  private readonly brokenSince = new Map<string, ReadonlyMap<string, number>>();
  private readonly downSinceMs = new Map<string, number>();
  /** When each engine was last seen running. */
  private readonly ranAtMs = new Map<string, number>();
  private readonly lanes: RepairLanes;
  private polling = false;

  constructor(private readonly parts: EngineWatchParts) {
    this.lanes = new RepairLanes(parts.queue, parts.log);
  }

  /** One poll; the caller's timer decides how often. */
  async poll(): Promise<void> {
    if (this.polling) return;
    this.polling = true;
    try {
      await this.look();
    } catch (reason) {
      this.parts.log.warn('engine poll failed: state unknown', {
        error: toLariatError(reason).message,
      });
    } finally {
      this.polling = false;
    }
  }

  private async look(): Promise<void> {
    const { journal, clock, losses } = this.parts;
    // Records first: what joined an engine before this moment is in the answers that follow.
    const records = journal.ownedOfKind('raid');
    this.forgetAllBut(records);
    if (records.length === 0) return;
    const lookedAtMs = clock.monotonicMs();
    const sights = await this.sights(records);
    this.parts.counts.looked('engines', records.length);
    for (const record of records) {
      const sight = sights.get(record.name);
      if (sight === undefined) continue;
      const before = this.brokenSince.get(record.name) ?? new Map<string, number>();
      const legs = record.params.legs;
      const verdict = judgeEngine(legs, sight, before, clock.monotonicMs(), PATH_PATIENCE);
      this.brokenSince.set(record.name, verdict.brokenSinceMs);
      if (verdict.down) this.inLane(record, () => this.putBack(record));
      else {
        this.downSinceMs.delete(record.name);
        this.ranAtMs.set(record.name, lookedAtMs);
      }
      if (verdict.lost.length > 0) this.inLane(record, () => this.markLost(record, verdict.lost));
      if (legs.some((leg) => leg.state === 'lost')) losses.pursue(record.name, record.epoch);
    }
  }

  private forgetAllBut(records: readonly OwnedRaid[]): void {
    const names = new Set(records.map(({ name }) => name));
    for (const seen of [this.brokenSince, this.downSinceMs, this.ranAtMs]) {
      for (const name of seen.keys()) if (!names.has(name)) seen.delete(name);
    }
  }

  private async sights(records: readonly OwnedRaid[]): Promise<ReadonlyMap<string, EngineSight>> {
    const spdk = this.parts.target.spdk();
    const [raids, controllers] = await Promise.all([
      spdk.raid.getBdevs(),
      spdk.nvme.getControllers(),
    ]);
    const pathStates = new Map(
      controllers.map((controller) => [controller.name, controller.paths[0]?.state ?? 'gone']),
    );
    const sights = records.map(async (record) => {
      const raid = raids.find((candidate) => candidate.name === record.name);
      const sight: EngineSight = {
        raid: raid === undefined ? undefined : { state: raid.state, bases: raid.baseBdevs },
        pathStates,
        refused: await this.refusedLegs(record),
        diskLosses: this.diskLosses(record),
      };
      return [record.name, sight] as const;
    });
    return new Map(await Promise.all(sights));
  }

  private diskLosses({ params }: OwnedRaid): ReadonlyMap<string, string> {
    return new Map(
      params.legs.flatMap(({ replica, endpoint, uuid }) => {
        const loss = endpoint === null ? this.parts.lostLvol(uuid) : undefined;
        return loss === undefined ? [] : [[replica, loss] as const];
      }),
    );
  }

  /** Of the legs whose path was broken at the last look. */
  private async refusedLegs(record: OwnedRaid): Promise<ReadonlySet<string>> {
    const broken = this.brokenSince.get(record.name);
    const asked = record.params.legs.map(async ({ replica, endpoint }) => {
      if (endpoint === null || broken?.has(replica) !== true) return [];
      const { traddr, trsvcid } = endpoint;
      return (await this.parts.reachability.isRefused(traddr, trsvcid)) ? [replica] : [];
    });
    return new Set((await Promise.all(asked)).flat());
  }

  /** In the volume's lane, one task at a time: engine commands and this never meet. */
  private inLane({ name }: OwnedRaid, task: () => Promise<void>): void {
    this.lanes.run(`volume/${name}`, `engine ${name}`, task);
  }

  /** Looks again before it believes: a command may have changed the engine since the poll. */
  private async markLost(seen: OwnedRaid, suspects: readonly LegLoss[]): Promise<void> {
    const { engines, losses, log, target } = this.parts;
    const record = engines.recordOf(seen.name);
    if (record === undefined || record.epoch !== seen.epoch) return;
    const raid = await engines.see(record);
    if (raid === undefined || raid.state !== 'online') return;
    const controllers = await target.spdk().nvme.getControllers();
    const confirmed = suspects.filter(({ replica }) => {
      const leg = record.params.legs.find((other) => other.replica === replica);
      if (leg === undefined || leg.state !== 'member') return false;
      if (!holdsLeg(raid.baseBdevs, leg)) return true;
      const path = controllers.find((controller) => controller.name === replica)?.paths[0];
      return path?.state !== 'enabled';
    });
    if (confirmed.length === 0) return;
    this.parts.counts.repaired('engines');
    const reasons = new Map(confirmed.map(({ replica, reason }) => [replica, reason]));
    await engines.updateLegs(record.name, (legs) =>
      legs.map((leg) => {
        const reason = reasons.get(leg.replica);
        return reason === undefined ? leg : { ...leg, state: 'lost', reason };
      }),
    );
    for (const { replica, reason } of confirmed) {
      log.warn('leg lost', { volume: record.name, epoch: record.epoch, replica, reason });
    }
    losses.pursue(record.name, record.epoch);
  }

  private async putBack(seen: OwnedRaid): Promise<void> {
    const { engines, clock, log } = this.parts;
    const record = engines.recordOf(seen.name);
    if (record === undefined || record.epoch !== seen.epoch) return;
    if ((await engines.see(record))?.state === 'online') return;
    const downSince = this.downSinceMs.get(record.name) ?? clock.monotonicMs();
    this.downSinceMs.set(record.name, downSince);
    // A change that the restart cut off is abandoned: the gate it needed is gone.
    for (const leg of record.params.legs) {
      if (leg.state === 'joining' || leg.state === 'leaving') {
        await engines.dropLeg(record.name, leg.replica);
      }
    }
    const legs = record.params.legs.filter((leg) => leg.state === 'member');
    const reached = await engines.reach(record, legs);
    const patient = clock.monotonicMs() - downSince < RESTORE_DEADLINE_MS;
    if (reached.unreachable.length > 0 && (patient || reached.reachable.length === 0)) return;
    const hasLostWrites = !this.parts.frontends.hasServedSince(
      record.name,
      this.ranAtMs.get(record.name),
    );
    const { reachable, unreachable } = hasLostWrites
      ? chooseOne(record, reached, this.membersOf(record.name))
      : reached;
    await this.goOnWithout(record, unreachable);
    await engines.forgetGate(record.name);
    const current = engines.recordOf(record.name) ?? record;
    this.parts.counts.repaired('engines');
    await engines.assemble(current, reachable);
    await engines.export(current);
    this.downSinceMs.delete(record.name);
    log.info('engine put back', {
      volume: record.name,
      epoch: record.epoch,
      legs: reachable.map((leg) => leg.replica),
      afterMs: Math.round(clock.monotonicMs() - downSince),
    });
  }

  /** The volume's in-sync set, as far as this node has heard. */
  private membersOf(volume: string): ReadonlySet<string> {
    const { replicas = [] } = this.parts.journal.record('volume', volume) ?? {};
    const members = replicas.filter(({ mode }) => mode === ReplicaMode.rw);
    return new Set(members.map(({ id }) => id));
  }

  /** No write may be acknowledged without a member before the volume's record says so (invariant 4). */
  private async goOnWithout(record: OwnedRaid, left: readonly LegLoss[]): Promise<void> {
    const { engines, losses } = this.parts;
    const reasons = new Map(left.map(({ replica, reason }) => [replica, reason]));
    await engines.updateLegs(record.name, (legs) =>
      legs.map((leg) => {
        const reason = reasons.get(leg.replica);
        return reason === undefined ? leg : { ...leg, state: 'lost', reason };
      }),
    );
    const marked = engines.recordOf(record.name);
    // Also those that were marked before and whose report was not accepted yet.
    const lost = marked?.params.legs.filter(({ state }) => state === 'lost') ?? [];
    if (marked === undefined || lost.length === 0) return;
    await losses.reportOnce(marked);
    for (const { replica } of lost) await engines.dropLeg(record.name, replica);
  }
}

/**
 * The leg to go on with where writes that were under way are lost: they may have reached some legs and not others, and
 * nobody sends them again. The others are copied anew (invariant 4). Rather a member than one that is being rebuilt, which
 * may not go on alone.
 */
function chooseOne(
  record: OwnedRaid,
  { reachable, unreachable }: Reached,
  members: ReadonlySet<string>,
): Reached {
  const counting = reachable.filter(({ replica }) => members.has(replica));
  const candidates = counting.length === 0 ? reachable : counting;
  const chosen = candidates.find(({ endpoint }) => endpoint === null) ?? candidates[0];
  if (chosen === undefined) return { reachable, unreachable };
  const reason = `unclean stop in epoch ${record.epoch}: to be copied anew from ${chosen.replica}`;
  const others = reachable.filter((leg) => leg !== chosen);
  return {
    reachable: [chosen],
    unreachable: [...unreachable, ...others.map(({ replica }) => ({ replica, reason }))],
  };
}
