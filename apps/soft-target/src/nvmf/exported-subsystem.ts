import type { Subsystem } from '@lariat/nvme-tcp';
import { BdevClaim, type Bdev, type BdevRegistry } from '../bdev/bdev.js';
import { ReservationFile } from './reservation-file.js';

export interface ExportedNamespace {
  readonly nsid: number;
  readonly bdev: Bdev;
  readonly uuid: string;
  /** 32 hexadecimal digits in upper case. */
  readonly nguid: string;
  readonly anaGroupId: number;
}

export interface NamespaceParams {
  /** 0 takes the lowest free one. */
  readonly nsid: number;
  readonly bdevName: string;
  readonly uuid: string | undefined;
  readonly nguid: string | undefined;
  readonly anaGroupId: number | undefined;
  /** Where its reservations outlive the process; without it they do not. */
  readonly ptplFile?: string | undefined;
}

/** A subsystem on the wire together with the bdevs that its namespaces hold. */
export class ExportedSubsystem {
  private readonly byNsid = new Map<number, ExportedNamespace>();

  constructor(
    readonly subsystem: Subsystem,
    readonly maxNamespaces: number,
    private readonly registry: BdevRegistry,
  ) {}

  namespaces(): readonly ExportedNamespace[] {
    return [...this.byNsid.values()].sort((a, b) => a.nsid - b.nsid);
  }

  /** Claims the bdev and shows it to the hosts; undefined for whatever reason SPDK would refuse it. */
  async add(params: NamespaceParams): Promise<number | undefined> {
    const nsid = params.nsid === 0 ? this.freeNsid() : params.nsid;
    const bdev = this.registry.find(params.bdevName);
    if (nsid === undefined || nsid > this.maxNamespaces || this.byNsid.has(nsid)) return undefined;
    const anaGroupId =
      params.anaGroupId === undefined || params.anaGroupId === 0 ? nsid : params.anaGroupId;
    if (bdev === undefined || anaGroupId > this.maxNamespaces) return undefined;
    const uuid = params.uuid ?? bdev.uuid;
    const nguid = (params.nguid ?? bdev.uuid.replaceAll('-', '')).toUpperCase();
    this.registry.claim(bdev, this.claimant(nsid), BdevClaim.exclusiveWrite);
    try {
      const { ptplFile } = params;
      const store = ptplFile === undefined ? undefined : new ReservationFile(ptplFile, bdev.uuid);
      // The wire reads it again at the first command; a file that is no good is to be refused here.
      await store?.load();
      this.subsystem.addNamespace({
        nsid,
        device: bdev,
        uuid,
        nguid,
        anaGroupId,
        ...(store === undefined ? {} : { reservationStore: store }),
      });
    } catch (error) {
      this.registry.release(bdev, this.claimant(nsid));
      throw error;
    }
    this.byNsid.set(nsid, { nsid, bdev, uuid, nguid, anaGroupId });
    return nsid;
  }

  /** False when there is none. The bdev is free once the last command to it has ended. */
  async remove(nsid: number): Promise<boolean> {
    const namespace = this.byNsid.get(nsid);
    if (namespace === undefined) return false;
    this.byNsid.delete(nsid);
    await this.subsystem.removeNamespace(nsid);
    this.registry.release(namespace.bdev, this.claimant(nsid));
    return true;
  }

  exports(bdev: Bdev): boolean {
    return this.namespaces().some((namespace) => namespace.bdev === bdev);
  }

  async removeBdev(bdev: Bdev): Promise<void> {
    for (const namespace of this.namespaces()) {
      if (namespace.bdev === bdev) await this.remove(namespace.nsid);
    }
  }

  resized(bdev: Bdev): void {
    for (const namespace of this.namespaces()) {
      if (namespace.bdev === bdev) this.subsystem.namespaceResized(namespace.nsid);
    }
  }

  /** To be called when the subsystem has left the wire: its commands have ended. */
  releaseAll(): void {
    for (const { nsid, bdev } of this.namespaces())
      this.registry.release(bdev, this.claimant(nsid));
    this.byNsid.clear();
  }

  private claimant(nsid: number): string {
    return `NVMe-oF Target ${this.subsystem.nqn} ${nsid}`;
  }

  private freeNsid(): number | undefined {
    for (let nsid = 1; nsid <= this.maxNamespaces; nsid += 1)
      if (!this.byNsid.has(nsid)) return nsid;
    return undefined;
  }
}
