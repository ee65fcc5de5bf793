export * from './aligned-buffer.js';
export * from './block-device.js';
export * from './memory-block-device.js';
export type { RegisteredController, ReservationReport } from './nvme/reservation-wire.js';
export { ReservationNotice } from './reservation/next.js';
export type { ReservationRecord, ReservationStore } from './reservation/record.js';
export { ReservationType } from './reservation/state.js';
export { AnaState, type AnaGroup } from './nvme/log-page.js';
export { DISCOVERY_NQN, isValidNqn } from './nvme/nqn.js';
export type { ListenAddress } from './target/listen-port.js';
export type { TargetNamespace } from './target/namespace.js';
export type { NvmeTcpTargetOptions } from './target/options.js';
export type { Subsystem } from './target/subsystem.js';
export type {
  ControllerInfo,
  ListenerInfo,
  NamespaceOptions,
  QueueInfo,
  SubsystemOptions,
} from './target/subsystem-types.js';
export { NvmeTcpTarget } from './target/target.js';
export {
  type HostControllerEvents,
  hostControllerMachine,
  type HostControllerState,
  NvmeTcpController,
} from './host/controller.js';
export {
  type CurrentKey,
  HostReservations,
  type RegisterOptions,
} from './host/host-reservations.js';
export { NvmeTcpHost } from './host/host.js';
export type { NvmeTcpHostOptions } from './host/host-options.js';
export { HostNamespace } from './host/namespace.js';
export type { NamespaceChanges } from './host/namespace-table.js';
