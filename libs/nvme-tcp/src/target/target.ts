import { LariatError } from '@lariat/kernel';
import { connectQueue } from './connect-command.js';
import { TargetConnection } from './connection.js';
import { Discovery } from './discovery.js';
import { type NvmeTcpTargetOptions, type TargetLimits, targetLimits } from './options.js';
import { PortTable } from './port-table.js';
import { Subsystem } from './subsystem.js';
import type { SubsystemOptions } from './subsystem-types.js';
import { TransferMemory } from './transfer-memory.js';

/** An NVMe/TCP target: subsystems by NQN, each with its hosts, namespaces and listeners. */
export class NvmeTcpTarget {
  private readonly limits: TargetLimits;
  private readonly byNqn = new Map<string, Subsystem>();
  private readonly discovery: Discovery;
  private readonly ports: PortTable;

  constructor(options: NvmeTcpTargetOptions = {}) {
    this.limits = targetLimits(options);
    this.discovery = new Discovery(() => this.subsystems());
    const context = {
      limits: this.limits,
      discovery: this.discovery,
      subsystem: (nqn: string) => this.byNqn.get(nqn),
    };
    const memory = new TransferMemory(this.limits.maxIoSizeBytes);
    this.ports = new PortTable((socket, port) => {
      new TargetConnection(socket, port, this.limits, memory, (connection, command) =>
        connectQueue(context, connection, command),
      );
    });
  }

  subsystems(): readonly Subsystem[] {
    return [...this.byNqn.values()];
  }

  subsystem(nqn: string): Subsystem | undefined {
    return this.byNqn.get(nqn);
  }

  addSubsystem(options: SubsystemOptions): Subsystem {
    if (this.byNqn.has(options.nqn)) {
      throw new LariatError({
        kind: 'conflict',
        code: 'NVMF_SUBSYSTEM_EXISTS',
        message: `there is a subsystem ${options.nqn} already; remove it first`,
      });
    }
    const subsystem = new Subsystem(options, this.limits, this.ports, this.discovery);
    this.byNqn.set(options.nqn, subsystem);
    this.discovery.changed();
    return subsystem;
  }

  /** Disconnects its hosts; when this resolves, none of their commands runs any more. */
  async removeSubsystem(nqn: string): Promise<void> {
    const subsystem = this.byNqn.get(nqn);
    if (subsystem === undefined) {
      throw new LariatError({
        kind: 'not_found',
        code: 'NVMF_SUBSYSTEM_UNKNOWN',
        message: `there is no subsystem ${nqn}`,
      });
    }
    this.byNqn.delete(nqn);
    this.discovery.changed();
    await subsystem.close();
  }

  /** Removes all subsystems, and with them every listener. */
  async close(): Promise<void> {
    await Promise.all([...this.byNqn.keys()].map((nqn) => this.removeSubsystem(nqn)));
  }
}
