import { lariatError, type NvmfEndpoint } from '@lariat/contracts';
import type { SeenController, SeenDm, SeenNamespace } from '../domain/dm-life.js';
import type { DeviceNodesPort } from '../ports/device-nodes.port.js';
import type { DeviceMapperPort, DmTable, KernelNvmePort } from '../ports/kernel-devices.port.js';
import type { FakeTarget } from './fake-target.js';

interface FakeDm {
  readonly device: string;
  isSuspended: boolean;
  over: string | null;
  sizeBytes: number;
}

interface FakePath extends SeenNamespace {
  /** What the target had when the kernel found it: another is another device. */
  readonly of: object;
}

const BYTES = 8 << 20;

/**
 * As much of a kernel as devices need: an NVMe host of the fake target, and device-mapper. It notes each moment at which
 * somebody's I/O would have met a path that is gone.
 */
export class FakeKernel implements KernelNvmePort, DeviceMapperPort {
  readonly errors: string[] = [];
  /** Numbers of the namespaces that take no discards. */
  readonly withoutDiscards = new Set<string>();
  /** Called before and after each change; what it throws is the change's outcome. */
  around: (change: string, when: 'before' | 'after') => void = () => undefined;
  readonly nodes: DeviceNodesPort;
  private readonly links = new Map<string, string>();
  private readonly dms = new Map<string, FakeDm>();
  private readonly connected = new Map<string, SeenController>();
  private readonly paths = new Map<string, FakePath>();
  private made = 0;

  constructor(private readonly target: FakeTarget) {
    this.nodes = {
      read: (node) => this.links.get(node) ?? null,
      point: (node, to) => void this.links.set(node, to),
      remove: (node) => void this.links.delete(node),
    };
  }

  controllers(): readonly SeenController[] {
    return [...this.connected.values()];
  }

  namespaces(): readonly SeenNamespace[] {
    for (const { name, subsystemNqn } of this.connected.values()) {
      const namespace = this.target.subsystems.get(subsystemNqn)?.namespace;
      if (this.paths.get(name)?.of === namespace) continue;
      this.paths.delete(name);
      if (namespace === undefined) continue;
      this.made += 1;
      const device = `/dev/nvme${this.made}n1`;
      const number = `259:${this.made}`;
      const seen = { device, number, uuid: namespace.uuid, subsystemNqn, sizeBytes: BYTES };
      this.paths.set(name, { ...seen, of: namespace });
    }
    return [...this.paths.values()];
  }

  list(): readonly SeenDm[] {
    return Array.from(this.dms, ([uuid, dm]) => ({ uuid, ...dm }));
  }

  /** To be asked after each change of anything: whether what is let through has a path. */
  look(after: string): void {
    const live = new Set(this.namespaces().map(({ number }) => number));
    for (const [uuid, { isSuspended, over }] of this.dms)
      if (!isSuspended && (over === null || !live.has(over)))
        this.errors.push(`I/O of ${uuid} met no path after ${after}`);
  }

  connect({ nqn }: NvmfEndpoint, hostNqn: string): Promise<void> {
    return this.change('connect', () => {
      const subsystem = this.target.subsystems.get(nqn);
      const isAdmitted = subsystem?.anyHost === true || subsystem?.hosts.has(hostNqn) === true;
      if (!isAdmitted) throw lariatError('DEVICE_NOT_MADE', `${nqn} admits no ${hostNqn}`);
      this.made += 1;
      const name = `nvme${this.made}`;
      this.connected.set(name, { name, subsystemNqn: nqn, hostNqn });
    });
  }

  refuseDiscards(device: string): void {
    this.withoutDiscards.add(this.numberOf(device) ?? '');
  }

  disconnect(controller: string): Promise<void> {
    return this.change('disconnect', () => {
      this.connected.delete(controller);
      this.paths.delete(controller);
    });
  }

  create(_name: string, uuid: string, { over, sizeBytes }: DmTable): Promise<void> {
    return this.change('create', () => {
      const device = `/dev/dm-${this.dms.size}`;
      this.dms.set(uuid, { device, isSuspended: false, over: this.numberOf(over), sizeBytes });
    });
  }

  suspend(uuid: string): Promise<void> {
    return this.change('suspend', () => {
      this.dm(uuid).isSuspended = true;
    });
  }

  async reload(uuid: string, { over, sizeBytes }: DmTable): Promise<void> {
    await this.suspend(uuid);
    await this.change('load', () => {
      Object.assign(this.dm(uuid), { over: this.numberOf(over), sizeBytes });
    });
    await this.resume(uuid);
  }

  resume(uuid: string): Promise<void> {
    return this.change('resume', () => {
      this.dm(uuid).isSuspended = false;
    });
  }

  remove(uuid: string): Promise<void> {
    return this.change('remove', () => {
      this.dms.delete(uuid);
    });
  }

  private numberOf(device: string | null): string | null {
    return this.namespaces().find((path) => path.device === device)?.number ?? null;
  }

  private dm(uuid: string): FakeDm {
    const dm = this.dms.get(uuid);
    if (dm === undefined) throw lariatError('DEVICE_NOT_MADE', `no device ${uuid}`);
    return dm;
  }

  private async change(what: string, make: () => void): Promise<void> {
    this.around(what, 'before');
    make();
    this.look(what);
    this.around(what, 'after');
  }
}
