import {
  ControllerConfiguration,
  ControllerStatus,
  encodeCapabilities,
  NVME_VERSION,
} from '../nvme/controller-properties.js';
import { readFabricsType } from '../nvme/entry.js';
import { Property, readPropertyAccess } from '../nvme/fabrics.js';
import { FabricsCommand } from '../nvme/opcodes.js';
import { doNotRetry, Status } from '../nvme/status.js';
import { type CommandResult, SUCCESS, type TargetCommand } from './command.js';
import type { TargetConnection } from './connection.js';
import type { TargetController } from './controller.js';

/** CAP.TO: draining the device commands of a reset may take this long. */
const READY_TIMEOUT_MS = 15_000;

const invalidProperty: CommandResult = { status: doNotRetry(Status.connectInvalidParameters) };

/** Fabrics commands on a queue that is connected. */
export function executeFabrics(
  controller: TargetController,
  connection: TargetConnection,
  command: TargetCommand,
): CommandResult {
  const type = readFabricsType(command.entry);
  if (type === FabricsCommand.connect) return { status: doNotRetry(Status.commandSequenceError) };
  if (connection !== controller.admin) return { status: doNotRetry(Status.invalidOpcode) };
  if (type === FabricsCommand.propertyGet) return propertyGet(controller, command);
  if (type === FabricsCommand.propertySet) return propertySet(controller, command);
  // Disconnect is optional, and OFCS says that it is not supported; other types are reserved.
  return {
    status: doNotRetry(
      type === FabricsCommand.disconnect ? Status.invalidOpcode : Status.invalidField,
    ),
  };
}

function propertyGet(controller: TargetController, command: TargetCommand): CommandResult {
  const access = readPropertyAccess(command.entry);
  if (access.sizeBytes === undefined) return invalidProperty;
  const capabilities = encodeCapabilities({
    maxQueueEntries: controller.limits.maxQueueDepth,
    readyTimeoutMs: READY_TIMEOUT_MS,
  });
  const value = (dword0: number): CommandResult => ({
    status: Status.success,
    dword0: dword0 >>> 0,
  });
  switch (access.offset) {
    case Property.capabilities:
      if (access.sizeBytes === 4) return value(capabilities.low);
      return { status: Status.success, dword0: capabilities.low, dword1: capabilities.high };
    case Property.capabilities + 4:
      return access.sizeBytes === 4 ? value(capabilities.high) : invalidProperty;
    case Property.version:
      return access.sizeBytes === 4 ? value(NVME_VERSION) : invalidProperty;
    case Property.configuration:
      return access.sizeBytes === 4 ? value(controller.configuration) : invalidProperty;
    case Property.status:
      return access.sizeBytes === 4 ? value(controller.statusBits) : invalidProperty;
    default:
      return invalidProperty;
  }
}

function propertySet(controller: TargetController, command: TargetCommand): CommandResult {
  const access = readPropertyAccess(command.entry);
  if (access.sizeBytes !== 4 || access.offset !== Property.configuration) return invalidProperty;
  const value = access.value % 0x1_0000_0000;
  // CC.CSS, CC.MPS and CC.AMS have one value each that is supported.
  if ((value & 0x3ff0) !== 0) return invalidProperty;
  const before = controller.configuration;
  const changed = value ^ before;
  controller.configuration = value;
  if ((changed & ControllerConfiguration.enable) !== 0) {
    if ((value & ControllerConfiguration.enable) !== 0)
      controller.statusBits |= ControllerStatus.ready;
    else controller.quiesce(ControllerStatus.ready | ControllerStatus.shutdownMask, 0);
  }
  if (
    (changed & ControllerConfiguration.shutdownMask) !== 0 &&
    (value & ControllerConfiguration.shutdownMask) !== 0
  ) {
    controller.statusBits =
      (controller.statusBits & ~ControllerStatus.shutdownMask) | ControllerStatus.shutdownUnderWay;
    controller.quiesce(ControllerStatus.shutdownMask, ControllerStatus.shutdownComplete);
  }
  return SUCCESS;
}
