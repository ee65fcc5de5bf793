import { AsyncNotice } from '../nvme/async-event.js';
import type { DiscoveryEntry } from '../nvme/log-page.js';
import { DISCOVERY_NQN } from '../nvme/nqn.js';
import type { TargetController } from './controller.js';
import type { ListenPort } from './listen-port.js';
import type { Subsystem } from './subsystem.js';

/** The discovery subsystem: it answers on every port of the target. */
export class Discovery {
  readonly controllers = new Set<TargetController>();
  private readonly subsystems: () => readonly Subsystem[];
  private changes = 0;
  private lastControllerId = 0;

  constructor(subsystems: () => readonly Subsystem[]) {
    this.subsystems = subsystems;
  }

  /** GENCTR: changes with every change to the log. */
  get generation(): number {
    return this.changes;
  }

  changed(): void {
    this.changes += 1;
    for (const controller of this.controllers) controller.notify(AsyncNotice.discoveryLogChanged);
  }

  nextControllerId(): number {
    this.lastControllerId = (this.lastControllerId % 0xffee) + 1;
    return this.lastControllerId;
  }

  /** What a host may connect to; the entry of the discovery subsystem itself comes last. */
  entries(hostNqn: string, port: ListenPort): readonly DiscoveryEntry[] {
    const entry = (subsystemNqn: string, at: ListenPort, discovery: boolean): DiscoveryEntry => ({
      portId: at.id,
      subsystemNqn,
      ...at.address,
      discovery,
    });
    const allowed = this.subsystems().filter((subsystem) => subsystem.allowsHost(hostNqn));
    return [
      ...allowed.flatMap((subsystem) =>
        subsystem.ports().map((at) => entry(subsystem.nqn, at, false)),
      ),
      entry(DISCOVERY_NQN, port, true),
    ];
  }
}
