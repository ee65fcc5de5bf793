import {
  CONNECT_DATA_LENGTH,
  CONNECT_DISABLE_SQ_FLOW_CONTROL,
  type ConnectCommand,
  type ConnectData,
  ConnectField,
  DYNAMIC_CONTROLLER_ID,
  invalidConnectParameter,
  readConnect,
  readConnectData,
} from '../nvme/fabrics.js';
import { DISCOVERY_NQN } from '../nvme/nqn.js';
import { doNotRetry, Status } from '../nvme/status.js';
import type { CommandResult, TargetCommand } from './command.js';
import type { TargetConnection } from './connection.js';
import { TargetController } from './controller.js';
import type { Discovery } from './discovery.js';
import type { TargetLimits } from './options.js';
import type { Subsystem } from './subsystem.js';

export interface ConnectContext {
  readonly limits: TargetLimits;
  readonly discovery: Discovery;
  subsystem(nqn: string): Subsystem | undefined;
}

const invalid = (where: 'command' | 'data', offset: number): CommandResult => ({
  status: doNotRetry(Status.connectInvalidParameters),
  dword0: invalidConnectParameter(where, offset),
});
const invalidHost: CommandResult = { status: doNotRetry(Status.connectInvalidHost) };

/** Carries out a Connect: a new controller for an admin queue, or one more queue for a controller there is. */
export async function connectQueue(
  context: ConnectContext,
  connection: TargetConnection,
  command: TargetCommand,
): Promise<CommandResult> {
  if (command.data === undefined || command.data.length < CONNECT_DATA_LENGTH) {
    return { status: doNotRetry(Status.dataSglLengthInvalid) };
  }
  const request = readConnect(command.entry);
  const data = readConnectData(command.data);
  if (request.recordFormat !== 0) return { status: doNotRetry(Status.connectIncompatibleFormat) };
  if (request.queueSize === 0 || request.queueSize >= context.limits.maxQueueDepth) {
    return invalid('command', ConnectField.queueSize);
  }
  if (data.hostNqn === '') return invalid('data', ConnectField.hostNqn);
  const subsystem = context.subsystem(data.subsystemNqn);
  if (subsystem === undefined && data.subsystemNqn !== DISCOVERY_NQN) {
    return invalid('data', ConnectField.subsystemNqn);
  }
  if (subsystem !== undefined && !admits(subsystem, connection, data.hostNqn)) return invalidHost;
  return request.queueId === 0
    ? connectAdmin(context, connection, request, data, subsystem)
    : connectIo(connection, request, data, subsystem);
}

function admits(subsystem: Subsystem, connection: TargetConnection, hostNqn: string): boolean {
  return subsystem.allowsHost(hostNqn) && connection.port.has(subsystem);
}

async function connectAdmin(
  context: ConnectContext,
  connection: TargetConnection,
  request: ConnectCommand,
  data: ConnectData,
  subsystem: Subsystem | undefined,
): Promise<CommandResult> {
  // The controllers of this target are all made by their Connect (dynamic controller model).
  if (data.controllerId !== DYNAMIC_CONTROLLER_ID)
    return invalid('data', ConnectField.controllerId);
  await subsystem?.earlierDrained(data.hostNqn);
  if (connection.isClosed || connection.isAttached)
    return { status: doNotRetry(Status.commandSequenceError) };
  if (subsystem !== undefined && !admits(subsystem, connection, data.hostNqn)) return invalidHost;
  const id =
    subsystem === undefined ? context.discovery.nextControllerId() : subsystem.freeCntlid();
  if (id === undefined) return { status: Status.connectControllerBusy };
  const controller = new TargetController({
    id,
    hostNqn: data.hostNqn,
    hostId: data.hostId,
    keepAliveTimeoutMs: request.keepAliveTimeoutMs,
    limits: context.limits,
    admin: connection,
    subsystem,
    discovery: context.discovery,
  });
  if (subsystem === undefined) context.discovery.controllers.add(controller);
  else subsystem.controllerConnected(controller);
  attach(connection, controller, request);
  return { status: Status.success, dword0: id };
}

function connectIo(
  connection: TargetConnection,
  request: ConnectCommand,
  data: ConnectData,
  subsystem: Subsystem | undefined,
): CommandResult {
  if (subsystem === undefined) return invalid('command', ConnectField.queueId);
  const controller = subsystem.controller(data.controllerId);
  if (controller === undefined) return invalid('data', ConnectField.controllerId);
  if (controller.hostNqn !== data.hostNqn) return invalid('data', ConnectField.hostNqn);
  // A host identifier of 0 is that of the admin queue.
  if (data.hostId.some((byte) => byte !== 0) && !controller.hostId.equals(data.hostId))
    return invalid('data', ConnectField.hostId);
  if (!controller.isEnabled || controller.admin.port !== connection.port || connection.isAttached) {
    return invalid('command', ConnectField.queueId);
  }
  if (request.queueId > controller.grantedQueueCount)
    return { status: Status.invalidQueueIdentifier };
  if (controller.hasQueue(request.queueId))
    return { status: doNotRetry(Status.commandSequenceError) };
  controller.addQueue(request.queueId, connection);
  attach(connection, controller, request);
  return { status: Status.success, dword0: controller.id };
}

function attach(
  connection: TargetConnection,
  controller: TargetController,
  request: ConnectCommand,
): void {
  connection.attach({
    controller,
    queueId: request.queueId,
    sizeEntries: request.queueSize + 1,
    flowControlDisabled: (request.attributes & CONNECT_DISABLE_SQ_FLOW_CONTROL) !== 0,
  });
}
