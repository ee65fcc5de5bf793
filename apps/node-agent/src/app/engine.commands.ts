import { lariatError, replicaNqn, type CommandMap, type EngineLeg } from '@lariat/contracts';
import { delay, roundUpToCluster, toLariatError, type Clock } from '@lariat/kernel';
import { holdsLeg } from '../domain/engine-health.js';
import { legControllerName, namespaceBdev } from '../domain/names.js';
import type { OwnedLeg, OwnedRaid } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import type { Engines } from './engines.js';
import type { Exports } from './exports.js';
import { dropUnneededRecord } from './kept-records.js';
import type { Lvols } from './lvols.js';
import { isAbsent, isOutage } from './target-errors.js';
import type { WriteGates } from './write-gates.js';

/** Short: a leg that was lost meanwhile is taken out in the same lane. The saga asks again. */
const RESIZE_DEADLINE_MS = 2_000;
const RESIZE_POLL_MS = 20;

type StopEvidence = CommandMap['engine.stop']['output'];

export interface EngineCommandParts {
  readonly node: string;
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly exports: Exports;
  readonly engines: Engines;
  readonly gates: WriteGates;
  readonly clock: Clock;
}

/** Commands on the engine of an attached volume. */
export function engineCommands(parts: EngineCommandParts): HandlersOf<'engine'> {
  const { journal, target, lvols, exports, engines, gates, clock, node } = parts;

  async function toLeg(leg: EngineLeg): Promise<OwnedLeg> {
    const common = { replica: leg.replica, state: 'member', reason: null } as const;
    if (leg.endpoint === null) {
      const head = await lvols.head(leg.replica);
      // An export of an earlier epoch holds the lvol; this epoch's engine is the one that may write.
      await exports.remove(replicaNqn(leg.replica));
      return { ...common, endpoint: null, bdevName: head.uuid, uuid: head.uuid };
    }
    const bdevName = namespaceBdev(legControllerName(leg.replica));
    return { ...common, endpoint: leg.endpoint, bdevName, uuid: leg.endpoint.uuid };
  }

  function requireEngine(volume: string, epoch: number): OwnedRaid {
    const record = engines.recordOf(volume);
    if (record !== undefined && record.epoch === epoch) return record;
    throw lariatError(
      'VOLUME_NOT_ATTACHED',
      `node ${node} runs no engine of volume ${volume} at epoch ${epoch}`,
    );
  }

  const start: CommandHandlers['engine.start'] = async (input, context) => {
    const { volume, epoch } = input;
    const running = engines.recordOf(volume);
    if (running !== undefined && running.epoch !== epoch) await engines.tearDown(volume);
    const lost: { replica: string; reason: string }[] = [];
    const legs: OwnedLeg[] = [];
    if (running?.epoch === epoch) {
      // An earlier delivery was cut off: go on with the legs that it had settled on.
      legs.push(...running.params.legs.filter((leg) => leg.state === 'member'));
    } else {
      for (const wanted of input.legs) {
        try {
          legs.push(await toLeg(wanted));
        } catch (reason) {
          if (isOutage(reason)) throw reason;
          lost.push({ replica: wanted.replica, reason: toLariatError(reason).message });
        }
      }
    }
    const record: OwnedRaid = {
      kind: 'raid',
      name: volume,
      uuid: input.uuid,
      owner: volume,
      volume,
      operation: context.operation,
      epoch,
      params: {
        sizeBytes: input.sizeBytes,
        legs,
        gate: null,
        ...(input.qos === undefined ? {} : { qos: input.qos }),
      },
    };
    await journal.putOwned(record);
    const reached = await engines.reach(record, legs);
    lost.push(...reached.unreachable);
    if (reached.reachable.length === 0) {
      await engines.tearDown(volume);
      const reasons = lost.map(({ replica, reason }) => `${replica}: ${reason}`).join('; ');
      throw lariatError(
        'LEG_UNREACHABLE',
        `no replica of volume ${volume} can be reached (${reasons})`,
        { lost },
      );
    }
    await engines.assemble(record, reached.reachable);
    // What the raid did not take is lost too, and so is whatever an adopted raid no longer has.
    const seen = await engines.see(record);
    const members = reached.reachable.filter((leg) => holdsLeg(seen?.baseBdevs ?? [], leg));
    for (const leg of reached.reachable) {
      if (!members.includes(leg)) lost.push({ replica: leg.replica, reason: 'not in the raid' });
    }
    await engines.updateLegs(volume, () => members);
    for (const leg of legs) {
      if (!members.includes(leg)) await engines.forgetPath(leg);
    }
    const endpoint = await engines.export(record);
    for (const { replica } of input.legs) {
      const told = lost.some((loss) => loss.replica === replica);
      const runs = members.some((leg) => leg.replica === replica);
      if (!told && !runs) lost.push({ replica, reason: 'lost by an earlier start of this epoch' });
    }
    return { endpoint, operational: members.map((leg) => leg.replica), lost };
  };

  const stop: CommandHandlers['engine.stop'] = async ({ volume }, context) => {
    const noted = context.noted() as StopEvidence | undefined;
    const evidence = noted ?? { inStep: await engines.end(volume) };
    // A run that finds the raid gone could not tell any more.
    if (noted === undefined) await context.note(evidence);
    await engines.forget(volume);
    await dropUnneededRecord(journal, 'volume', volume);
    return evidence;
  };

  const resize: CommandHandlers['engine.resize'] = async ({ volume, epoch, sizeBytes }) => {
    const record = requireEngine(volume, epoch);
    const wantedBytes = roundUpToCluster(sizeBytes);
    if (record.params.sizeBytes !== wantedBytes) {
      const params = { ...record.params, sizeBytes: wantedBytes };
      await journal.putOwned({ ...record, params });
    }
    const deadlineMs = clock.monotonicMs() + RESIZE_DEADLINE_MS;
    for (;;) {
      const seenBytes = await sizeOf(volume);
      if (seenBytes >= wantedBytes) return { sizeBytes: seenBytes };
      if (clock.monotonicMs() > deadlineMs) throw await stillSmall(record, seenBytes, wantedBytes);
      await delay(RESIZE_POLL_MS);
    }
  };

  const setQos: CommandHandlers['engine.set-qos'] = async ({ volume, epoch, qos }) => {
    const record = requireEngine(volume, epoch);
    const limited = { ...record, params: { ...record.params, qos } };
    // First: an engine that is put back from now on has the new limits.
    await journal.putOwned(limited);
    try {
      await engines.limit(limited);
    } catch (reason) {
      // A raid that is being put back takes them up by itself.
      if (!isAbsent(reason)) throw reason;
    }
    return {};
  };

  /** Zero for a bdev that is not there. */
  async function sizeOf(bdevName: string): Promise<number> {
    try {
      return (await target.spdk().bdev.getBdev(bdevName)).sizeBytes;
    } catch (reason) {
      if (isAbsent(reason)) return 0;
      throw reason;
    }
  }

  async function stillSmall(
    { name, params }: OwnedRaid,
    seenBytes: number,
    wantedBytes: number,
  ): Promise<Error> {
    const sizes = await Promise.all(
      params.legs.map(async (leg) => [leg.replica, await sizeOf(leg.bdevName)] as const),
    );
    const small = sizes.filter(([, legBytes]) => legBytes < wantedBytes);
    const told = small.map(([replica, legBytes]) => `${replica} shows ${legBytes} bytes`);
    return lariatError(
      'TARGET_UNAVAILABLE',
      `the engine of volume ${name} has ${seenBytes} of ${wantedBytes} bytes (${told.join(', ') || 'its legs have grown'}); it is asked again`,
    );
  }

  const removeLeg: CommandHandlers['engine.remove-leg'] = async ({ volume, epoch, replica }) => {
    const record = engines.recordOf(volume);
    if (record === undefined || record.epoch !== epoch) return {};
    const others = record.params.legs.filter(
      (leg) => leg.replica !== replica && leg.state === 'member',
    );
    const present = record.params.legs.some((leg) => leg.replica === replica);
    if (!present) return {};
    if (others.length === 0) {
      throw lariatError(
        'LAST_REPLICA',
        `${replica} is the last leg of volume ${volume}; detach the volume instead`,
      );
    }
    // Durable first: a target that restarts now must not take the leg in again.
    await engines.updateLegs(volume, (legs) =>
      legs.map((leg) => (leg.replica === replica ? { ...leg, state: 'leaving' } : leg)),
    );
    await engines.dropLeg(volume, replica);
    return {};
  };

  const addLeg: CommandHandlers['engine.add-leg'] = async (input, { operation }) => {
    const { volume, epoch, gate, leg } = input;
    const record = requireEngine(volume, epoch);
    const wanted = await toLeg(leg);
    const present = record.params.legs.find((other) => other.replica === leg.replica);
    if (present?.state === 'member' && present.uuid === wanted.uuid) return {};
    gates.require(record, gate);
    // The replica in its life before, whose loss is on record; the raid must not take its path for the new one's.
    if (present !== undefined && present.uuid !== wanted.uuid)
      await engines.dropLeg(volume, leg.replica);
    const joining: OwnedLeg = { ...wanted, state: 'joining' };
    await engines.updateLegs(volume, (legs) => [
      ...legs.filter((other) => other.replica !== leg.replica),
      joining,
    ]);
    await engines.connectLeg(record, joining);
    await engines.takeIn(record, joining, gate, () => gates.cutOff(record, operation));
    await engines.updateLegs(volume, (legs) =>
      legs.map((other) => (other.replica === leg.replica ? { ...other, state: 'member' } : other)),
    );
    return {};
  };

  const closeGate: CommandHandlers['engine.close-gate'] = async (input, { operation }) => {
    const { volume, epoch, gate, timeoutMs } = input;
    await gates.close(requireEngine(volume, epoch), gate, timeoutMs, operation);
    return {};
  };

  const openGate: CommandHandlers['engine.open-gate'] = async (input, { operation }) => {
    const { volume, epoch, gate } = input;
    const record = engines.recordOf(volume);
    const current = record?.epoch === epoch ? record : undefined;
    return { held: await gates.open(volume, current, gate, operation) };
  };

  return {
    'engine.start': start,
    'engine.stop': stop,
    'engine.resize': resize,
    'engine.set-qos': setQos,
    'engine.remove-leg': removeLeg,
    'engine.add-leg': addLeg,
    'engine.close-gate': closeGate,
    'engine.open-gate': openGate,
  };
}
