import { AnaState, type ControllerInfo, type QueueInfo } from '@lariat/nvme-tcp';
import type { JsonObject } from '../rpc/method.js';
import type { ExportedSubsystem } from './exported-subsystem.js';
import { DISCOVERY_NQN } from './nqn.js';
import { describeTcpAddress } from './transport-address.js';

/** What nvmf_get_subsystems and its kin answer (the dump functions of lib/nvmf/nvmf_rpc.c). */
export function describeSubsystem(exported: ExportedSubsystem): JsonObject {
  const { subsystem } = exported;
  return {
    nqn: subsystem.nqn,
    subtype: 'NVMe',
    listen_addresses: subsystem.ports().map((port) => describeTcpAddress(port.address)),
    allow_any_host: subsystem.allowAnyHost,
    hosts: subsystem.allowedHosts().map((nqn) => ({ nqn })),
    serial_number: subsystem.serial,
    model_number: subsystem.model,
    max_namespaces: exported.maxNamespaces,
    passthrough: false,
    min_cntlid: subsystem.minCntlid,
    max_cntlid: subsystem.maxCntlid,
    namespaces: exported.namespaces().map(({ nsid, bdev, uuid, nguid, anaGroupId }) => ({
      nsid,
      bdev_name: bdev.name,
      // Old name of the same, which SPDK keeps for its users' sake.
      name: bdev.name,
      nguid,
      uuid,
      ...(subsystem.anaReporting ? { anagrpid: anaGroupId } : {}),
    })),
  };
}

/** The subsystem that every target has. */
export const DISCOVERY_SUBSYSTEM: JsonObject = Object.freeze({
  nqn: DISCOVERY_NQN,
  subtype: 'Discovery',
  listen_addresses: [],
  allow_any_host: true,
  hosts: [],
});

export function describeListeners(exported: ExportedSubsystem): readonly JsonObject[] {
  const { subsystem, maxNamespaces } = exported;
  return subsystem.ports().map((port) => ({
    address: describeTcpAddress(port.address),
    ...(subsystem.anaReporting
      ? {
          ana_states: Array.from({ length: maxNamespaces }, (_, index) => ({
            ana_group: index + 1,
            ana_state: ANA_STATE_NAMES.get(port.anaState(subsystem, index + 1)),
          })),
        }
      : {}),
  }));
}

export function describeController(controller: ControllerInfo): JsonObject {
  return {
    cntlid: controller.cntlid,
    cntrltype: 'io',
    hostnqn: controller.hostNqn,
    hostid: dashed(controller.hostId),
    num_io_qpairs: controller.ioQueueCount,
  };
}

export function describeQueues(controller: ControllerInfo): readonly JsonObject[] {
  return controller.queues.map((queue: QueueInfo) => ({
    cntlid: controller.cntlid,
    qid: queue.queueId,
    state: queue.state === 'active' ? 'enabled' : 'deactivating',
    thread: 'app_thread',
    hostnqn: controller.hostNqn,
    listen_address: describeTcpAddress(queue.listenAddress),
    peer_address: describeTcpAddress(queue.peerAddress),
  }));
}

export const ANA_STATES = ['optimized', 'non_optimized', 'inaccessible'] as const;
export type AnaStateName = (typeof ANA_STATES)[number];

export const ANA_STATE_BY_NAME: Readonly<Record<AnaStateName, AnaState>> = {
  optimized: AnaState.optimized,
  non_optimized: AnaState.nonOptimized,
  inaccessible: AnaState.inaccessible,
};

export const ANA_STATE_NAMES: ReadonlyMap<AnaState, string> = new Map(
  ANA_STATES.map((name) => [ANA_STATE_BY_NAME[name], name]),
);

/** 32 hexadecimal digits as a uuid. */
function dashed(hex: string): string {
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}
