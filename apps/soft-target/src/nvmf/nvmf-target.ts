import { KeyedQueue, LariatError, withDeadline } from '@lariat/kernel';
import { AnaState, NvmeTcpTarget } from '@lariat/nvme-tcp';
import type { Log } from '../app/log.js';
import { BdevEvent, type Bdev } from '../bdev/bdev.js';
import type { TargetBdevs } from '../bdev/registry.js';
import { JsonRpcCode, RpcError } from '../rpc/rpc-error.js';
import { ExportedSubsystem, type NamespaceParams } from './exported-subsystem.js';
import { DISCOVERY_NQN, isNqn } from './nqn.js';
import { DEFAULT_TRANSPORT_OPTIONS, type TcpTransportOptions } from './tcp-transport.js';
import type { TcpAddress } from './transport-address.js';

export interface SubsystemParams {
  readonly nqn: string;
  readonly serial: string | undefined;
  readonly model: string | undefined;
  readonly allowAnyHost: boolean;
  readonly anaReporting: boolean;
  readonly minCntlid: number;
  readonly maxCntlid: number;
  /** 0 is the default. */
  readonly maxNamespaces: number;
}

/** NVMF_SUBSYSTEM_DEFAULT_NAMESPACES (lib/nvmf/subsystem.c). */
const DEFAULT_MAX_NAMESPACES = 32;
/** What the wire carries at most; SPDK's own bound is 2^32. */
const MAX_MAX_NAMESPACES = 1024;

/**
 * The subsystems of this target. Errors carry the codes of lib/nvmf/nvmf_rpc.c, which are few: what exists,
 * is missing or is claimed mostly reads "Invalid parameters".
 */
export class NvmfTarget {
  private readonly exported = new Map<string, ExportedSubsystem>();
  /** Changes to one subsystem follow one another, where SPDK pauses it. */
  private readonly changes = new KeyedQueue();
  private transport: TcpTransportOptions | undefined;
  private wire: NvmeTcpTarget | undefined;
  private readonly stopListening: () => void;

  constructor(
    private readonly registry: TargetBdevs,
    private readonly log: Log,
  ) {
    this.stopListening = registry.listen((event, bdev) => {
      for (const each of this.exported.values()) {
        if (event === BdevEvent.resize) each.resized(bdev);
        if (event === BdevEvent.unregister && each.exports(bdev)) this.removeLost(each, bdev);
      }
    });
    registry.onRemove((bdev) => this.removeBdev(bdev));
  }

  get transports(): readonly TcpTransportOptions[] {
    return this.transport === undefined ? [] : [this.transport];
  }

  createTransport(trtype: string, options: TcpTransportOptions): void {
    if (trtype.toUpperCase() !== 'TCP')
      throw RpcError.invalidParams(`Invalid transport type '${trtype}'`);
    if (this.transport !== undefined) throw internal(`Transport type '${trtype}' already exists`);
    if (this.wire !== undefined && !sameOptions(options, DEFAULT_TRANSPORT_OPTIONS)) {
      throw internal(
        'Failed to create transport: give it options before the first subsystem is made.',
      );
    }
    this.wire ??= this.createWire(options);
    this.transport = options;
  }

  createSubsystem(params: SubsystemParams): void {
    const { nqn, serial, model, allowAnyHost, anaReporting, minCntlid, maxCntlid } = params;
    const maxNamespaces =
      params.maxNamespaces === 0 ? DEFAULT_MAX_NAMESPACES : params.maxNamespaces;
    if (!isPrintable(serial, 20) || !isPrintable(model, 40)) throw RpcError.invalidParams();
    const taken = this.exported.has(nqn) || nqn === DISCOVERY_NQN;
    if (taken || !isNqn(nqn) || maxNamespaces > MAX_MAX_NAMESPACES)
      throw internal(`Unable to create subsystem ${nqn}`);
    if (minCntlid < 1 || maxCntlid > 0xffef || minCntlid > maxCntlid) {
      throw RpcError.invalidParams(`Invalid cntlid range [${minCntlid}-${maxCntlid}]`);
    }
    this.wire ??= this.createWire(DEFAULT_TRANSPORT_OPTIONS);
    const subsystem = this.wire.addSubsystem({
      nqn,
      allowAnyHost,
      anaReporting,
      minCntlid,
      maxCntlid,
      ...(serial === undefined ? {} : { serial }),
      ...(model === undefined ? {} : { model }),
    });
    this.exported.set(nqn, new ExportedSubsystem(subsystem, maxNamespaces, this.registry));
  }

  deleteSubsystem(nqn: string): Promise<void> {
    return this.change(nqn, async (exported) => {
      this.exported.delete(nqn);
      await this.wire?.removeSubsystem(nqn);
      exported.releaseAll();
    });
  }

  list(): readonly ExportedSubsystem[] {
    return [...this.exported.values()];
  }

  require(nqn: string): ExportedSubsystem {
    const exported = this.exported.get(nqn);
    if (exported === undefined)
      throw RpcError.invalidParams(`Subsystem with NQN '${nqn}' not found`);
    return exported;
  }

  addNamespace(nqn: string, params: NamespaceParams): Promise<number> {
    return this.change(nqn, async (exported) => {
      const nsid = await exported.add(params).catch((error: unknown) => {
        throw this.asInvalidParams(`cannot export ${params.bdevName}`, error);
      });
      if (nsid === undefined) throw RpcError.invalidParams();
      return nsid;
    });
  }

  removeNamespace(nqn: string, nsid: number): Promise<void> {
    return this.change(nqn, async (exported) => {
      if (!(await exported.remove(nsid))) throw RpcError.invalidParams();
    });
  }

  addHost(nqn: string, hostNqn: string): void {
    const { subsystem } = this.require(nqn);
    if (!isNqn(hostNqn) || subsystem.allowedHosts().includes(hostNqn))
      throw internal('Internal error');
    subsystem.addHost(hostNqn);
  }

  /** Fences the host: when this resolves, none of its commands runs any more. 0 waits without a bound. */
  removeHost(nqn: string, hostNqn: string, timeoutMs: number): Promise<void> {
    return this.change(nqn, async ({ subsystem }) => {
      if (!subsystem.allowedHosts().includes(hostNqn)) throw internal('Internal error');
      const removed = subsystem.removeHost(hostNqn);
      if (timeoutMs === 0) return removed;
      try {
        return await withDeadline(`disconnecting ${hostNqn}`, timeoutMs, removed);
      } catch (error) {
        if (!(error instanceof LariatError) || error.kind !== 'timeout') throw error;
        throw internal('Timeout reached during host removal');
      }
    });
  }

  allowAnyHost(nqn: string, allow: boolean): Promise<void> {
    return this.change(nqn, ({ subsystem }) => subsystem.setAllowAnyHost(allow));
  }

  addListener(nqn: string, address: TcpAddress, anaState: AnaState): Promise<void> {
    return this.change(nqn, async ({ subsystem }) => {
      if (this.transport === undefined) throw RpcError.invalidParams();
      if (anaState !== AnaState.optimized && !subsystem.anaReporting)
        throw RpcError.invalidParams();
      try {
        const { traddr, trsvcid } = address;
        const bound = await subsystem.addListener({ traddr, trsvcid });
        if (anaState !== AnaState.optimized) subsystem.setAnaState(bound, anaState);
      } catch (error) {
        throw this.asInvalidParams(`cannot listen on ${address.traddr}:${address.trsvcid}`, error);
      }
    });
  }

  removeListener(nqn: string, address: TcpAddress): Promise<void> {
    return this.change(nqn, async ({ subsystem }) => {
      const found = subsystem.ports().find(({ address: at }) => {
        return at.traddr === address.traddr && at.trsvcid === address.trsvcid;
      });
      if (found === undefined) throw RpcError.invalidParams();
      await subsystem.removeListener(found.address);
    });
  }

  setAnaState(nqn: string, address: TcpAddress, state: AnaState, anaGroupId: number): void {
    const { subsystem } = this.require(nqn);
    try {
      subsystem.setAnaState(address, state, anaGroupId === 0 ? undefined : anaGroupId);
    } catch (error) {
      if (!(error instanceof LariatError)) throw error;
      throw internal('error setting ANA state: -22');
    }
  }

  /** Disconnects all hosts. */
  async close(): Promise<void> {
    this.stopListening();
    await this.wire?.close();
    for (const each of this.exported.values()) each.releaseAll();
    this.exported.clear();
  }

  private createWire(options: TcpTransportOptions): NvmeTcpTarget {
    return this.refusedAsInvalid('bad transport options', () => {
      return new NvmeTcpTarget({ ...options, maxNamespaces: MAX_MAX_NAMESPACES });
    });
  }

  private change<T>(nqn: string, task: (exported: ExportedSubsystem) => Promise<T>): Promise<T> {
    return this.changes.run(nqn, async () => task(this.require(nqn)));
  }

  /** Resolves when no command to the bdev runs any more, in any subsystem. */
  private async removeBdev(bdev: Bdev): Promise<void> {
    await Promise.all(
      this.list().map((each) => this.changes.run(each.subsystem.nqn, () => each.removeBdev(bdev))),
    );
  }

  /** A bdev may go away by itself: then there is no caller to tell of a failure. */
  private removeLost(exported: ExportedSubsystem, bdev: Bdev): void {
    const { nqn } = exported.subsystem;
    this.changes
      .run(nqn, () => exported.removeBdev(bdev))
      .catch((error: unknown) => {
        this.log.error('cannot remove the namespace of a lost bdev', { nqn, error: String(error) });
      });
  }

  private refusedAsInvalid<T>(what: string, attempt: () => T): T {
    try {
      return attempt();
    } catch (error) {
      throw this.asInvalidParams(what, error);
    }
  }

  /** SPDK says no more than "Invalid parameters"; the log says why. */
  private asInvalidParams(what: string, error: unknown): unknown {
    if (!(error instanceof LariatError || error instanceof RpcError)) return error;
    this.log.warning(what, { reason: error.message });
    return RpcError.invalidParams();
  }
}

function internal(message: string): RpcError {
  return new RpcError(JsonRpcCode.internalError, message);
}

function isPrintable(text: string | undefined, maxLength: number): boolean {
  return text === undefined || (text.length <= maxLength && /^[\x20-\x7e]*$/.test(text));
}

function sameOptions(a: TcpTransportOptions, b: TcpTransportOptions): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
