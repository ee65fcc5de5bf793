import {
  bool,
  decodeObject,
  decodeRelaxed,
  int32,
  noParams,
  objectOf,
  oneOf,
  opt,
  str,
  timeoutMs,
  uint,
  uint16,
  uint32,
  unsupported,
  uuid,
  type Decoded,
} from '../rpc/decode.js';
import { method, type JsonObject, type MethodTable } from '../rpc/method.js';
import { RpcError } from '../rpc/rpc-error.js';
import type { NvmfTarget } from './nvmf-target.js';
import {
  ANA_STATE_BY_NAME,
  ANA_STATES,
  describeController,
  describeListeners,
  describeQueues,
  describeSubsystem,
  DISCOVERY_SUBSYSTEM,
} from './subsystem-json.js';
import { DISCOVERY_NQN } from './nqn.js';
import { decodeTransportParams, describeTransport, transportOptions } from './tcp-transport.js';
import { listenAddressSpec, requireTcpAddress } from './transport-address.js';

/** The one target of the process; SPDK's nvmf_tgt application names its own so (lib/event/subsystems/nvmf). */
const TARGET_NAME = 'nvmf_tgt';

type Spec = Parameters<typeof decodeObject>[0];

/** A decoder that takes `tgt_name` as well, and refuses any other target than this one. */
function ofTarget<S extends Spec>(spec: S): (params: JsonObject) => Decoded<S> {
  return withTarget(decodeObject(spec));
}

/** For the methods that SPDK decodes so, for the sake of parameters that only some transports have. */
function ofTargetRelaxed<S extends Spec>(spec: S): (params: JsonObject) => Decoded<S> {
  return withTarget(decodeRelaxed(spec));
}

function withTarget<T>(decode: (params: JsonObject) => T): (params: JsonObject) => T {
  return ({ tgt_name: name, ...params }) => {
    checkTarget(name);
    return decode(params);
  };
}

const ofTransport = (params: JsonObject): ReturnType<typeof decodeTransportParams> => {
  const { tgt_name: name, ...rest } = params;
  checkTarget(name);
  return decodeTransportParams(rest);
};

const nqnAlone = ofTarget({ nqn: str });

const namespaceSpec = {
  nsid: opt(uint32),
  bdev_name: str,
  nguid: opt(str),
  eui64: opt(str),
  uuid: opt(uuid),
  ptpl_file: opt(str),
  anagrpid: opt(uint32),
  no_auto_visible: unsupported('no_auto_visible', false),
  // There is none to hide.
  hide_metadata: opt(bool),
};

/** Of SPDK's methods in lib/nvmf/nvmf_rpc.c those that a TCP target without keys can have. */
export function nvmfMethods(target: NvmfTarget): MethodTable {
  return {
    nvmf_create_transport: method(ofTransport, (params) => {
      target.createTransport(params.trtype, transportOptions(params));
      return true;
    }),
    nvmf_get_targets: method(noParams, () => [TARGET_NAME]),
    nvmf_get_transports: method(ofTarget({ trtype: opt(str) }), ({ trtype }) => {
      const none =
        trtype !== undefined && (trtype.toUpperCase() !== 'TCP' || target.transports.length === 0);
      if (none) throw RpcError.errno('ENODEV');
      return target.transports.map(describeTransport);
    }),
    ...subsystemMethods(target),
    ...namespaceMethods(target),
    ...hostMethods(target),
    ...listenerMethods(target),
  };
}

function subsystemMethods(target: NvmfTarget): MethodTable {
  return {
    nvmf_create_subsystem: method(
      ofTarget({
        nqn: str,
        serial_number: opt(str),
        model_number: opt(str),
        max_namespaces: opt(uint32),
        allow_any_host: opt(bool),
        ana_reporting: opt(bool),
        min_cntlid: opt(uint16),
        max_cntlid: opt(uint16),
        max_discard_size_kib: opt(uint),
        max_write_zeroes_size_kib: opt(uint),
        dmrsl: unsupported('dmrsl', 0),
        wzsl: unsupported('wzsl', 0),
        passthrough: unsupported('passthrough', false),
        enable_nssr: unsupported('enable_nssr', false),
      }),
      (params) => {
        target.createSubsystem({
          nqn: params.nqn,
          serial: params.serial_number,
          model: params.model_number,
          allowAnyHost: params.allow_any_host ?? false,
          anaReporting: params.ana_reporting ?? false,
          minCntlid: params.min_cntlid ?? 1,
          maxCntlid: params.max_cntlid ?? 0xffef,
          maxNamespaces: params.max_namespaces ?? 0,
        });
        return true;
      },
    ),
    nvmf_delete_subsystem: method(nqnAlone, async ({ nqn }) => {
      await target.deleteSubsystem(nqn);
      return true;
    }),
    nvmf_get_subsystems: method(ofTarget({ nqn: opt(str) }), ({ nqn }) => {
      if (nqn === DISCOVERY_NQN) return [DISCOVERY_SUBSYSTEM];
      if (nqn !== undefined) return [describeSubsystem(target.require(nqn))];
      return [DISCOVERY_SUBSYSTEM, ...target.list().map(describeSubsystem)];
    }),
    nvmf_subsystem_get_controllers: method(nqnAlone, ({ nqn }) => {
      return target.require(nqn).subsystem.controllers().map(describeController);
    }),
    nvmf_subsystem_get_qpairs: method(nqnAlone, ({ nqn }) => {
      return target.require(nqn).subsystem.controllers().flatMap(describeQueues);
    }),
    nvmf_subsystem_get_listeners: method(nqnAlone, ({ nqn }) => {
      return describeListeners(target.require(nqn));
    }),
  };
}

function namespaceMethods(target: NvmfTarget): MethodTable {
  return {
    nvmf_subsystem_add_ns: method(
      ofTargetRelaxed({ nqn: str, namespace: objectOf(namespaceSpec) }),
      ({ nqn, namespace }) => {
        if (namespace.nguid !== undefined && !isHex(namespace.nguid, 16))
          throw RpcError.invalidParams('Invalid nguid');
        if (namespace.eui64 !== undefined && !isHex(namespace.eui64, 8))
          throw RpcError.invalidParams('Invalid eui64');
        return target.addNamespace(nqn, {
          nsid: namespace.nsid ?? 0,
          bdevName: namespace.bdev_name,
          uuid: namespace.uuid,
          nguid: namespace.nguid,
          anaGroupId: namespace.anagrpid,
          ptplFile: namespace.ptpl_file,
        });
      },
    ),
    nvmf_subsystem_remove_ns: method(
      ofTarget({ nqn: str, nsid: uint32 }),
      async ({ nqn, nsid }) => {
        await target.removeNamespace(nqn, nsid);
        return true;
      },
    ),
  };
}

function hostMethods(target: NvmfTarget): MethodTable {
  return {
    nvmf_subsystem_add_host: method(
      ofTargetRelaxed({
        nqn: str,
        host: str,
        // A host that should prove itself is not let in unproven.
        psk: unsupported('psk'),
        dhchap_key: unsupported('dhchap_key'),
        dhchap_ctrlr_key: unsupported('dhchap_ctrlr_key'),
      }),
      ({ nqn, host }) => {
        target.addHost(nqn, host);
        return true;
      },
    ),
    nvmf_subsystem_remove_host: method(
      ofTarget({ nqn: str, host: str, timeout_ms: opt(timeoutMs) }),
      async ({ nqn, host, timeout_ms: limitMs = 0 }) => {
        await target.removeHost(nqn, host, limitMs);
        return true;
      },
    ),
    nvmf_subsystem_allow_any_host: method(
      ofTarget({ nqn: str, allow_any_host: bool }),
      async ({ nqn, allow_any_host: allow }) => {
        await target.allowAnyHost(nqn, allow);
        return true;
      },
    ),
  };
}

function listenerMethods(target: NvmfTarget): MethodTable {
  return {
    nvmf_subsystem_add_listener: method(
      ofTargetRelaxed({
        nqn: str,
        listen_address: objectOf(listenAddressSpec),
        secure_channel: opt(bool),
        ana_state: opt(oneOf(...ANA_STATES)),
        sock_impl: unsupported('sock_impl', 'posix'),
        numa_id: opt(int32),
      }),
      async (params) => {
        // There is no TLS: refusing is better than listening in the clear.
        if (params.secure_channel === true) throw RpcError.invalidParams();
        const anaState = ANA_STATE_BY_NAME[params.ana_state ?? 'optimized'];
        await target.addListener(params.nqn, requireTcpAddress(params.listen_address), anaState);
        return true;
      },
    ),
    nvmf_subsystem_remove_listener: method(
      ofTarget({ nqn: str, listen_address: objectOf(listenAddressSpec) }),
      async ({ nqn, listen_address: address }) => {
        await target.removeListener(nqn, requireTcpAddress(address));
        return true;
      },
    ),
    nvmf_subsystem_listener_set_ana_state: method(
      ofTarget({
        nqn: str,
        listen_address: objectOf(listenAddressSpec),
        ana_state: oneOf(...ANA_STATES),
        anagrpid: opt(uint32),
      }),
      (params) => {
        const state = ANA_STATE_BY_NAME[params.ana_state];
        target.setAnaState(
          params.nqn,
          requireTcpAddress(params.listen_address),
          state,
          params.anagrpid ?? 0,
        );
        return true;
      },
    ),
  };
}

function checkTarget(name: unknown): void {
  if (name === undefined || name === TARGET_NAME) return;
  if (typeof name !== 'string') throw RpcError.invalidParams();
  throw RpcError.invalidParams(`NVMf target '${name}' not found`);
}

function isHex(text: string, bytes: number): boolean {
  return text.length === bytes * 2 && /^[0-9a-f]*$/i.test(text);
}
