import { readCdw, readCommandId, readNsid } from '../nvme/entry.js';
import { Feature } from '../nvme/features.js';
import { doNotRetry, Status } from '../nvme/status.js';
import type { CommandOutcome, CommandResult, TargetCommand } from './command.js';
import { SUCCESS } from './command.js';
import type { TargetController } from './controller.js';
import type { TargetNamespace } from './namespace.js';

const SAVE = 0x8000_0000;
/** Features that are kept and given back, and change nothing. */
const PLAIN_FEATURES: ReadonlySet<number> = new Set([
  Feature.arbitration,
  Feature.powerManagement,
  Feature.errorRecovery,
  Feature.interruptCoalescing,
  Feature.interruptVector,
  Feature.writeAtomicity,
]);
const DISCOVERY_FEATURES: ReadonlySet<number> = new Set([
  Feature.asyncEventConfiguration,
  Feature.keepAliveTimer,
]);

const invalidField: CommandResult = { status: doNotRetry(Status.invalidField) };

const invalidNamespace: CommandResult = { status: doNotRetry(Status.invalidNamespace) };

const NSID_ALL = 0xffff_ffff;
/** Bits 1 to 3: registration preempted, reservation released, reservation preempted. */
const NOTIFICATION_MASKS = 0x0e;

/** The namespace that a feature is set for, or all of them. */
function ofNamespaces(
  controller: TargetController,
  command: TargetCommand,
  set: (namespaces: readonly TargetNamespace[]) => CommandOutcome,
): CommandOutcome {
  const nsid = readNsid(command.entry);
  if (nsid === NSID_ALL) return set(controller.subsystem?.namespaces() ?? []);
  const namespace = controller.namespace(nsid);
  return namespace === undefined ? invalidNamespace : set([namespace]);
}

/** Of all namespaces, those that cannot persist are passed over; one alone must be able to. */
async function setPersistence(
  namespaces: readonly TargetNamespace[],
  persistent: boolean,
): Promise<CommandResult> {
  const able = namespaces.filter(({ reservations }) => reservations.canPersist);
  if (able.length === 0) return invalidField;
  const statuses = await Promise.all(
    able.map(({ reservations }) => reservations.setPersistent(persistent)),
  );
  return { status: statuses.find((status) => status !== Status.success) ?? Status.success };
}

/** Over-temperature thresholds start at the highest value, under-temperature ones at 0. */
function temperatureKey(selector: number): { readonly key: number; readonly initial: number } {
  const sensor = (selector >>> 16) & 0x3f;
  return { key: 0x1_0000 | sensor, initial: (sensor & 0x30) === 0 ? 0xffff : 0 };
}

export function setFeatures(controller: TargetController, command: TargetCommand): CommandOutcome {
  const feature = readCdw(command.entry, 10) & 0xff;
  const value = readCdw(command.entry, 11);
  if ((readCdw(command.entry, 10) & SAVE) !== 0)
    return { status: doNotRetry(Status.featureNotSaveable) };
  if (controller.isDiscovery && !DISCOVERY_FEATURES.has(feature)) return invalidField;
  switch (feature) {
    case Feature.numberOfQueues: {
      if (controller.ioQueueCount > 0) return { status: doNotRetry(Status.commandSequenceError) };
      const submission = value & 0xffff;
      const completion = value >>> 16;
      if (submission === 0xffff || completion === 0xffff) return invalidField;
      controller.grantQueues(Math.max(submission, completion) + 1);
      return { status: Status.success, dword0: controller.queuesDword };
    }
    case Feature.asyncEventConfiguration:
      controller.events.configuration = value;
      return SUCCESS;
    case Feature.keepAliveTimer:
      if (value === 0) return { status: doNotRetry(Status.keepAliveTimeoutInvalid) };
      controller.keepAlive.setTimeout(value);
      return SUCCESS;
    case Feature.volatileWriteCache:
      controller.writeCache = (value & 1) !== 0;
      return SUCCESS;
    case Feature.temperatureThreshold:
      controller.plainFeatures.set(temperatureKey(value).key, value & 0xffff);
      return SUCCESS;
    case Feature.reservationNotificationMask:
      if ((value & ~NOTIFICATION_MASKS) !== 0) return invalidField;
      return ofNamespaces(controller, command, (namespaces) => {
        for (const { reservations } of namespaces) reservations.notificationMask = value;
        return SUCCESS;
      });
    case Feature.reservationPersistence:
      return ofNamespaces(controller, command, (namespaces) =>
        setPersistence(namespaces, (value & 1) !== 0),
      );
    case Feature.hostIdentifier:
      // Over fabrics it is set by Connect and never changes.
      return { status: doNotRetry(Status.commandSequenceError) };
    default:
      if (!PLAIN_FEATURES.has(feature)) return invalidField;
      controller.plainFeatures.set(feature, value);
      return SUCCESS;
  }
}

export function getFeatures(controller: TargetController, command: TargetCommand): CommandResult {
  const feature = readCdw(command.entry, 10) & 0xff;
  const value = readCdw(command.entry, 11);
  if (controller.isDiscovery && !DISCOVERY_FEATURES.has(feature)) return invalidField;
  const answer = (dword0: number): CommandResult => ({
    status: Status.success,
    dword0: dword0 >>> 0,
  });
  switch (feature) {
    case Feature.numberOfQueues:
      return answer(controller.queuesDword);
    case Feature.asyncEventConfiguration:
      return answer(controller.events.configuration);
    case Feature.keepAliveTimer:
      return answer(controller.keepAlive.timeoutMs);
    case Feature.volatileWriteCache:
      return answer(controller.writeCache ? 1 : 0);
    case Feature.temperatureThreshold: {
      const { key, initial } = temperatureKey(value);
      return answer(controller.plainFeatures.get(key) ?? initial);
    }
    case Feature.reservationNotificationMask:
    case Feature.reservationPersistence: {
      const reservations = controller.namespace(readNsid(command.entry))?.reservations;
      if (reservations === undefined) return invalidNamespace;
      if (feature === Feature.reservationNotificationMask)
        return answer(reservations.notificationMask);
      return answer(reservations.state.persistent ? 1 : 0);
    }
    case Feature.hostIdentifier:
      if ((value & 1) === 0 || command.readLength < controller.hostId.length) return invalidField;
      return { status: Status.success, data: controller.hostId };
    default:
      return PLAIN_FEATURES.has(feature)
        ? answer(controller.plainFeatures.get(feature) ?? 0)
        : invalidField;
  }
}

/** Only asynchronous event requests can be aborted; a device command that has begun cannot. */
export function abort(controller: TargetController, command: TargetCommand): CommandResult {
  const target = readCdw(command.entry, 10);
  const aborted =
    (target & 0xffff) === 0 &&
    target >>> 16 !== readCommandId(command.entry) &&
    controller.events.abort(target >>> 16);
  return { status: Status.success, dword0: aborted ? 0 : 1 };
}
