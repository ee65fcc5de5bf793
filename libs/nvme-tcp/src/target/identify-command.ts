import { NVME_VERSION } from '../nvme/controller-properties.js';
import { readCdw, readNsid } from '../nvme/entry.js';
import {
  ControllerType,
  encodeIdentifyController,
  IDENTIFY_LENGTH,
  OptionalCommand,
} from '../nvme/identify-controller.js';
import {
  encodeIdentifyNamespace,
  encodeIndependentNamespace,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
  IdentifyCns,
  NVM_COMMAND_SET,
} from '../nvme/identify-namespace.js';
import { DISCOVERY_NQN } from '../nvme/nqn.js';
import { reservationCapabilities } from '../nvme/reservation-wire.js';
import { doNotRetry, Status } from '../nvme/status.js';
import { ASYNC_EVENT_LIMIT } from './async-events.js';
import { type CommandResult, fitted, type TargetCommand } from './command.js';
import type { TargetController } from './controller.js';
import { KEEP_ALIVE_GRANULARITY_MS } from './keep-alive.js';
import type { TargetNamespace } from './namespace.js';

export const FIRMWARE_REVISION = '0.1';
const NSID_ALL = 0xffff_ffff;

const failed = (status: number): CommandResult => ({ status: doNotRetry(status) });

export function identify(controller: TargetController, command: TargetCommand): CommandResult {
  const { entry } = command;
  const cns = readCdw(entry, 10) & 0xff;
  const commandSet = readCdw(entry, 11) >>> 24;
  const nsid = readNsid(entry);
  if (command.readLength === 0) return failed(Status.invalidField);
  const answer = (data: Buffer): CommandResult => ({
    status: Status.success,
    data: fitted(data, command.readLength),
  });
  if (controller.isDiscovery && cns !== IdentifyCns.controller) return failed(Status.invalidField);
  const ofNamespace = (encode: (namespace: TargetNamespace) => Buffer): CommandResult => {
    const namespace = controller.namespace(nsid);
    if (namespace !== undefined) return answer(encode(namespace));
    // An id that could be a namespace's, but is not now, reads as zeros.
    return isValidNsid(controller, nsid)
      ? answer(Buffer.alloc(IDENTIFY_LENGTH))
      : failed(Status.invalidNamespace);
  };
  switch (cns) {
    case IdentifyCns.controller:
      return answer(controllerData(controller));
    case IdentifyCns.namespace:
      return ofNamespace((namespace) => namespaceData(controller, namespace));
    case IdentifyCns.activeNamespaces:
    case IdentifyCns.activeNamespacesOfCommandSet: {
      if (nsid >= NSID_ALL - 1) return failed(Status.invalidNamespace);
      if (cns === IdentifyCns.activeNamespacesOfCommandSet && commandSet !== NVM_COMMAND_SET) {
        return failed(Status.invalidField);
      }
      const nsids = controller.subsystem?.namespaces().map((namespace) => namespace.nsid) ?? [];
      return answer(encodeNamespaceList(nsids.filter((each) => each > nsid)));
    }
    case IdentifyCns.namespaceDescriptors: {
      const namespace = controller.namespace(nsid);
      if (namespace !== undefined) return answer(encodeNamespaceDescriptors(namespace));
      return failed(isValidNsid(controller, nsid) ? Status.invalidField : Status.invalidNamespace);
    }
    case IdentifyCns.commandSetNamespace:
      if (commandSet !== NVM_COMMAND_SET) return failed(Status.invalidField);
      return ofNamespace(() => Buffer.alloc(IDENTIFY_LENGTH));
    case IdentifyCns.commandSetController:
      // All zeros: no limits beyond MDTS.
      return commandSet === NVM_COMMAND_SET
        ? answer(Buffer.alloc(IDENTIFY_LENGTH))
        : failed(Status.invalidField);
    case IdentifyCns.commandSetIndependentNamespace:
      return ofNamespace((namespace) =>
        encodeIndependentNamespace(
          anaGroupOf(controller, namespace),
          reservationCapabilities(namespace.reservations.canPersist),
        ),
      );
    default:
      return failed(Status.invalidField);
  }
}

function isValidNsid(controller: TargetController, nsid: number): boolean {
  return nsid > 0 && nsid <= controller.limits.maxNamespaces;
}

function controllerData(controller: TargetController): Buffer {
  const { subsystem, limits } = controller;
  return encodeIdentifyController({
    vendorId: 0,
    serial: subsystem?.serial ?? '',
    model: subsystem?.model ?? '',
    firmware: FIRMWARE_REVISION,
    controllerId: controller.id,
    version: NVME_VERSION,
    type: subsystem === undefined ? ControllerType.discovery : ControllerType.io,
    maxTransferBytes: limits.maxIoSizeBytes,
    anaReporting: subsystem?.anaReporting ?? false,
    asyncEventLimit: ASYNC_EVENT_LIMIT,
    keepAliveGranularity: KEEP_ALIVE_GRANULARITY_MS / 100,
    maxNamespaces: limits.maxNamespaces,
    maxOutstandingCommands: limits.maxQueueDepth,
    optionalCommands:
      OptionalCommand.compare |
      OptionalCommand.datasetManagement |
      OptionalCommand.writeZeroes |
      OptionalCommand.reservations |
      OptionalCommand.verify,
    volatileWriteCache: true,
    subsystemNqn: subsystem?.nqn ?? DISCOVERY_NQN,
    commandCapsuleBytes: 64 + limits.inCapsuleDataBytes,
  });
}

function namespaceData(controller: TargetController, namespace: TargetNamespace): Buffer {
  return encodeIdentifyNamespace({
    sizeBlocks: namespace.sizeBlocks,
    blockSizeBytes: namespace.device.blockSizeBytes,
    anaGroupId: anaGroupOf(controller, namespace),
    reservationCapabilities: reservationCapabilities(namespace.reservations.canPersist),
    nguid: namespace.nguid,
  });
}

/** ANAGRPID is 0 where ANA is not reported. */
function anaGroupOf(controller: TargetController, namespace: TargetNamespace): number {
  return controller.subsystem?.anaReporting === true ? namespace.anaGroupId : 0;
}
