import type { RpcCaller } from '../json-rpc/spdk-client.js';
import { count, flag, ifDefined, list, record, text, type Parse } from '../result/fields.js';
import { parseTransportAddress, type TransportAddress } from './nvme.js';

export interface NvmfNamespaceInfo {
  readonly nsid: number;
  readonly bdevName: string;
  readonly uuid?: string;
  readonly nguid?: string;
}

const parseNamespace: Parse<NvmfNamespaceInfo> = record((fields) => ({
  nsid: fields.required('nsid', count),
  bdevName: fields.required('bdev_name', text),
  ...ifDefined('uuid', fields.optional('uuid', text)),
  ...ifDefined('nguid', fields.optional('nguid', text)),
}));

export interface NvmfSubsystemInfo {
  readonly nqn: string;
  readonly subtype: string;
  readonly allowAnyHost: boolean;
  readonly hosts: readonly string[];
  readonly listenAddresses: readonly TransportAddress[];
  /** Empty for the discovery subsystem. */
  readonly namespaces: readonly NvmfNamespaceInfo[];
  readonly serialNumber?: string;
  readonly modelNumber?: string;
}

export const parseSubsystem: Parse<NvmfSubsystemInfo> = record((fields) => ({
  nqn: fields.required('nqn', text),
  subtype: fields.required('subtype', text),
  allowAnyHost: fields.required('allow_any_host', flag),
  hosts: fields.required('hosts', list(record((host) => host.required('nqn', text)))),
  listenAddresses: fields.required('listen_addresses', list(parseTransportAddress)),
  namespaces: fields.optional('namespaces', list(parseNamespace)) ?? [],
  ...ifDefined('serialNumber', fields.optional('serial_number', text)),
  ...ifDefined('modelNumber', fields.optional('model_number', text)),
}));

export interface NvmfControllerInfo {
  readonly cntlid: number;
  readonly hostNqn: string;
  readonly hostId: string;
  readonly numIoQpairs: number;
}

const parseController: Parse<NvmfControllerInfo> = record((fields) => ({
  cntlid: fields.required('cntlid', count),
  hostNqn: fields.required('hostnqn', text),
  hostId: fields.required('hostid', text),
  numIoQpairs: fields.required('num_io_qpairs', count),
}));

export interface NvmfListenerInfo {
  readonly address: TransportAddress;
  /** State of each ANA group; empty when the subsystem does not report ANA. */
  readonly anaStates: readonly { readonly anaGroup: number; readonly anaState: string }[];
}

const parseListener: Parse<NvmfListenerInfo> = record((fields) => ({
  address: fields.required('address', parseTransportAddress),
  anaStates:
    fields.optional(
      'ana_states',
      list(
        record((state) => ({
          anaGroup: state.required('ana_group', count),
          anaState: state.required('ana_state', text),
        })),
      ),
    ) ?? [],
}));

export type AnaState = 'optimized' | 'non_optimized' | 'inaccessible';

export interface SubsystemCreateParams {
  readonly nqn: string;
  readonly allowAnyHost?: boolean;
  readonly serialNumber?: string;
  readonly modelNumber?: string;
  readonly maxNamespaces?: number;
  readonly minCntlid?: number;
  readonly maxCntlid?: number;
  readonly anaReporting?: boolean;
}

export interface NamespaceParams {
  readonly bdevName: string;
  readonly nsid?: number;
  readonly uuid?: string;
  readonly nguid?: string;
}

/** Where a subsystem listens. */
export interface ListenAddress {
  readonly traddr: string;
  readonly trsvcid: string;
  readonly trtype?: string;
  readonly adrfam?: 'ipv4' | 'ipv6';
}

/**
 * NVMe-oF subsystems. SPDK answers `Invalid parameters` (kind `invalid`) for most of what is wrong here, also
 * for "not found" and "in use": read the subsystems to learn which.
 */
export class NvmfMethods {
  constructor(private readonly rpc: RpcCaller) {}

  /** TCP. `maxIoSizeBytes` is the largest transfer of one command (MDTS); 128 KiB when left out. */
  async createTransport(options: { readonly maxIoSizeBytes?: number } = {}): Promise<void> {
    const params = { trtype: 'TCP', ...ifDefined('max_io_size', options.maxIoSizeBytes) };
    flag(await this.rpc.call('nvmf_create_transport', params), 'nvmf_create_transport');
  }

  /** Types of the transports that exist, e.g. `TCP`. */
  async getTransports(): Promise<readonly string[]> {
    const result = await this.rpc.call('nvmf_get_transports');
    return list(record((fields) => fields.required('trtype', text)))(result, 'nvmf_get_transports');
  }

  async createSubsystem(params: SubsystemCreateParams): Promise<void> {
    const result = await this.rpc.call('nvmf_create_subsystem', {
      nqn: params.nqn,
      ...ifDefined('allow_any_host', params.allowAnyHost),
      ...ifDefined('serial_number', params.serialNumber),
      ...ifDefined('model_number', params.modelNumber),
      ...ifDefined('max_namespaces', params.maxNamespaces),
      ...ifDefined('min_cntlid', params.minCntlid),
      ...ifDefined('max_cntlid', params.maxCntlid),
      ...ifDefined('ana_reporting', params.anaReporting),
    });
    flag(result, 'nvmf_create_subsystem');
  }

  async deleteSubsystem(nqn: string): Promise<void> {
    flag(await this.rpc.call('nvmf_delete_subsystem', { nqn }), 'nvmf_delete_subsystem');
  }

  async getSubsystems(): Promise<readonly NvmfSubsystemInfo[]> {
    return list(parseSubsystem)(await this.rpc.call('nvmf_get_subsystems'), 'nvmf_get_subsystems');
  }

  /** The namespace's id. Claims the bdev: one held by a raid or by another subsystem is refused. */
  async addNs(nqn: string, namespace: NamespaceParams): Promise<number> {
    const result = await this.rpc.call('nvmf_subsystem_add_ns', {
      nqn,
      namespace: {
        bdev_name: namespace.bdevName,
        ...ifDefined('nsid', namespace.nsid),
        ...ifDefined('uuid', namespace.uuid),
        ...ifDefined('nguid', namespace.nguid),
      },
    });
    return count(result, 'nvmf_subsystem_add_ns');
  }

  async removeNs(nqn: string, nsid: number): Promise<void> {
    flag(
      await this.rpc.call('nvmf_subsystem_remove_ns', { nqn, nsid }),
      'nvmf_subsystem_remove_ns',
    );
  }

  async addHost(nqn: string, hostNqn: string): Promise<void> {
    flag(
      await this.rpc.call('nvmf_subsystem_add_host', { nqn, host: hostNqn }),
      'nvmf_subsystem_add_host',
    );
  }

  /** Also cuts the connections of that host. */
  async removeHost(nqn: string, hostNqn: string): Promise<void> {
    flag(
      await this.rpc.call('nvmf_subsystem_remove_host', { nqn, host: hostNqn }),
      'nvmf_subsystem_remove_host',
    );
  }

  async allowAnyHost(nqn: string, allow: boolean): Promise<void> {
    const params = { nqn, allow_any_host: allow };
    flag(
      await this.rpc.call('nvmf_subsystem_allow_any_host', params),
      'nvmf_subsystem_allow_any_host',
    );
  }

  async addListener(nqn: string, address: ListenAddress): Promise<void> {
    const params = { nqn, listen_address: listenAddress(address) };
    flag(await this.rpc.call('nvmf_subsystem_add_listener', params), 'nvmf_subsystem_add_listener');
  }

  async removeListener(nqn: string, address: ListenAddress): Promise<void> {
    const params = { nqn, listen_address: listenAddress(address) };
    flag(
      await this.rpc.call('nvmf_subsystem_remove_listener', params),
      'nvmf_subsystem_remove_listener',
    );
  }

  async setAnaState(nqn: string, address: ListenAddress, anaState: AnaState): Promise<void> {
    const params = { nqn, listen_address: listenAddress(address), ana_state: anaState };
    const result = await this.rpc.call('nvmf_subsystem_listener_set_ana_state', params);
    flag(result, 'nvmf_subsystem_listener_set_ana_state');
  }

  async getListeners(nqn: string): Promise<readonly NvmfListenerInfo[]> {
    const result = await this.rpc.call('nvmf_subsystem_get_listeners', { nqn });
    return list(parseListener)(result, 'nvmf_subsystem_get_listeners');
  }

  /** Who is connected now. */
  async getControllers(nqn: string): Promise<readonly NvmfControllerInfo[]> {
    const result = await this.rpc.call('nvmf_subsystem_get_controllers', { nqn });
    return list(parseController)(result, 'nvmf_subsystem_get_controllers');
  }
}

function listenAddress(address: ListenAddress): object {
  return {
    trtype: address.trtype ?? 'TCP',
    adrfam: address.adrfam ?? 'ipv4',
    traddr: address.traddr,
    trsvcid: address.trsvcid,
  };
}
