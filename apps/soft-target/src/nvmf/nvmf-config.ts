import { AnaState } from '@lariat/nvme-tcp';
import type { MethodCall } from '../rpc/method.js';
import type { ExportedSubsystem } from './exported-subsystem.js';
import type { NvmfTarget } from './nvmf-target.js';
import { ANA_STATE_NAMES } from './subsystem-json.js';
import { describeTransport } from './tcp-transport.js';
import { describeTcpAddress } from './transport-address.js';

/** The calls that lead to the transports and subsystems of now. */
export function nvmfConfig(target: NvmfTarget): readonly MethodCall[] {
  return [
    ...target.transports.map((options) => ({
      method: 'nvmf_create_transport',
      params: describeTransport(options),
    })),
    ...target.list().flatMap(subsystemConfig),
  ];
}

function subsystemConfig(exported: ExportedSubsystem): readonly MethodCall[] {
  const { subsystem, maxNamespaces } = exported;
  const { nqn } = subsystem;
  return [
    {
      method: 'nvmf_create_subsystem',
      params: {
        nqn,
        allow_any_host: subsystem.allowAnyHost,
        serial_number: subsystem.serial,
        model_number: subsystem.model,
        max_namespaces: maxNamespaces,
        min_cntlid: subsystem.minCntlid,
        max_cntlid: subsystem.maxCntlid,
        ana_reporting: subsystem.anaReporting,
      },
    },
    ...subsystem.allowedHosts().map((host) => ({
      method: 'nvmf_subsystem_add_host',
      params: { nqn, host },
    })),
    ...exported.namespaces().map(({ nsid, bdev, nguid, uuid, anaGroupId }) => ({
      method: 'nvmf_subsystem_add_ns',
      params: {
        nqn,
        namespace: { nsid, bdev_name: bdev.name, nguid, uuid, anagrpid: anaGroupId },
      },
    })),
    ...subsystem.ports().map(({ address }) => ({
      method: 'nvmf_subsystem_add_listener',
      params: { nqn, listen_address: describeTcpAddress(address), secure_channel: false },
    })),
    ...anaConfig(exported),
  ];
}

/** Groups that are not as they are at first. */
function anaConfig(exported: ExportedSubsystem): readonly MethodCall[] {
  const { subsystem, maxNamespaces } = exported;
  if (!subsystem.anaReporting) return [];
  return subsystem.ports().flatMap((port) =>
    Array.from({ length: maxNamespaces }, (_, at) => at + 1)
      .filter((group) => port.anaState(subsystem, group) !== AnaState.optimized)
      .map((group) => ({
        method: 'nvmf_subsystem_listener_set_ana_state',
        params: {
          nqn: subsystem.nqn,
          listen_address: describeTcpAddress(port.address),
          ana_state: ANA_STATE_NAMES.get(port.anaState(subsystem, group)),
          anagrpid: group,
        },
      })),
  );
}
