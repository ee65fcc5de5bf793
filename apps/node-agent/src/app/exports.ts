import { lariatError, type NvmfEndpoint } from '@lariat/contracts';
import { KeyedQueue } from '@lariat/kernel';
import type { NvmfSubsystemInfo } from '@lariat/spdk';
import type { OwnedSubsystem } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { ListenPort, TargetPort } from '../ports/target.port.js';

export type ExportPlan = Omit<OwnedSubsystem, 'kind' | 'uuid'> & { readonly uuid: string };

/**
 * NVMe/TCP subsystems of this node, each with one namespace, and their ownership records. One change at a time of each: the
 * commands on one export may have different lanes, and what one takes away must not be put back by the other.
 */
export class Exports {
  private readonly lanes = new KeyedQueue();

  constructor(
    private readonly journal: JournalPort,
    private readonly target: TargetPort,
    private readonly listen: ListenPort,
  ) {}

  endpointOf(nqn: string, uuid: string): NvmfEndpoint {
    return { nqn, traddr: this.listen.traddr, trsvcid: this.listen.trsvcid, uuid };
  }

  /** Makes the subsystem what the plan says, from whatever it is now; admits exactly the plan's hosts. */
  ensure(plan: ExportPlan): Promise<NvmfEndpoint> {
    return this.lanes.run(plan.name, () => this.make(plan));
  }

  /** What the subsystem is to be, decided by what it is when its turn comes: null takes it away, undefined leaves it. */
  revise(
    nqn: string,
    decide: (known: OwnedSubsystem | undefined) => ExportPlan | null | undefined,
  ): Promise<NvmfEndpoint | undefined> {
    return this.lanes.run(nqn, async () => {
      const plan = decide(this.journal.owned('subsystem', nqn));
      if (plan === null) await this.takeAway(nqn);
      return plan == null ? undefined : this.make(plan);
    });
  }

  /** Brings the target in line with a record; hosts come off before others come on. */
  apply(record: OwnedSubsystem): Promise<void> {
    return this.lanes.run(record.name, async () =>
      this.bringInLine(record, await this.see(record.name)),
    );
  }

  /**
   * To put many back on a target that has just come: it is asked once what it has. Each is brought in line with its record as
   * it is when its turn comes.
   */
  async putBackMany(): Promise<(nqn: string) => Promise<void>> {
    const all = await this.target.spdk().nvmf.getSubsystems();
    const seen = new Map(all.map((subsystem) => [subsystem.nqn, subsystem]));
    return (nqn) =>
      this.lanes.run(nqn, async () => {
        const record = this.journal.owned('subsystem', nqn);
        if (record === undefined || this.isAsRecorded(record, seen.get(nqn))) return;
        await this.bringInLine(record, seen.get(nqn));
      });
  }

  /**
   * Takes the namespace away while `work` lasts, in which its bdev goes and comes. The subsystem stays, with its hosts and
   * where it listens.
   */
  withoutNamespace(nqn: string, work: () => Promise<void>): Promise<void> {
    return this.lanes.run(nqn, async () => {
      const record = this.journal.owned('subsystem', nqn);
      const namespace = (await this.see(nqn))?.namespaces[0];
      const isOurs = record?.uuid === (namespace?.uuid ?? record?.uuid);
      if (namespace !== undefined && !isOurs)
        throw notOwned(nqn, namespace.uuid ?? 'no one on record');
      if (namespace !== undefined) await this.target.spdk().nvmf.removeNs(nqn, namespace.nsid);
      const bringBack = async (): Promise<void> => {
        if (record !== undefined) await this.bringInLine(record, await this.see(nqn));
      };
      try {
        await work();
      } catch (reason) {
        // Without its bdev it can't come back: whoever puts that back does so with this.
        await bringBack().catch(() => undefined);
        throw reason;
      }
      await bringBack();
    });
  }

  /** Takes the subsystem away, with all its connections; does nothing when no record names it. */
  remove(nqn: string): Promise<void> {
    return this.lanes.run(nqn, () => this.takeAway(nqn));
  }

  /** The same, and the record stays: it is to come back. */
  withdraw(nqn: string): Promise<void> {
    return this.lanes.run(nqn, async () => {
      const record = this.journal.owned('subsystem', nqn);
      if (record !== undefined) await this.deleteOurs(record);
    });
  }

  /** Brings the target in line with what is on record then; `onDrift` is called before, where there is a difference. */
  putBack(nqn: string, onDrift: () => void): Promise<void> {
    return this.lanes.run(nqn, async () => {
      const record = this.journal.owned('subsystem', nqn);
      if (record === undefined) return;
      const seen = await this.see(nqn);
      if (this.isAsRecorded(record, seen)) return;
      onDrift();
      await this.bringInLine(record, seen);
    });
  }

  private async make(plan: ExportPlan): Promise<NvmfEndpoint> {
    const known = this.journal.owned('subsystem', plan.name);
    if (known !== undefined && known.owner !== plan.owner) throw notOwned(plan.name, known.owner);
    if (known === undefined && (await this.see(plan.name)) !== undefined) {
      throw notOwned(plan.name, 'no one on record');
    }
    // A reverted head has another uuid: the old namespace goes first.
    if (known !== undefined && known.uuid !== plan.uuid) await this.takeAway(plan.name);
    const record: OwnedSubsystem = { ...plan, kind: 'subsystem' };
    await this.journal.putOwned(record);
    await this.bringInLine(record, await this.see(plan.name));
    return this.endpointOf(plan.name, plan.uuid);
  }

  private async bringInLine(
    record: OwnedSubsystem,
    seen: NvmfSubsystemInfo | undefined,
  ): Promise<void> {
    const { nvmf } = this.target.spdk();
    const { bdevName, hosts, allowAnyHost = false } = record.params;
    const uuid = record.uuid ?? undefined;
    if (seen === undefined) {
      await nvmf.createSubsystem({
        nqn: record.name,
        allowAnyHost: false,
        serialNumber: serialOf(record.uuid ?? ''),
        modelNumber: 'Lariat',
      });
    }
    for (const host of seen?.hosts ?? []) {
      if (!hosts.includes(host)) await nvmf.removeHost(record.name, host);
    }
    if (seen !== undefined && seen.allowAnyHost && !allowAnyHost) {
      await nvmf.allowAnyHost(record.name, false);
    }
    const namespace = seen?.namespaces[0];
    if (namespace !== undefined && uuid !== undefined && (namespace.uuid ?? uuid) !== uuid) {
      throw notOwned(record.name, namespace.uuid ?? 'no uuid');
    }
    if (namespace === undefined) {
      await nvmf.addNs(record.name, { bdevName, nsid: 1, ...(uuid === undefined ? {} : { uuid }) });
    }
    const admitted = new Set(seen?.hosts);
    for (const host of hosts) if (!admitted.has(host)) await nvmf.addHost(record.name, host);
    if (allowAnyHost && seen?.allowAnyHost !== true) await nvmf.allowAnyHost(record.name, true);
    const { traddr, trsvcid } = this.listen;
    if (seen === undefined || !this.listens(seen))
      await nvmf.addListener(record.name, { traddr, trsvcid });
  }

  /** Whether the target has what the record says: `apply` would change nothing. */
  isAsRecorded(record: OwnedSubsystem, seen: NvmfSubsystemInfo | undefined): boolean {
    const [namespace] = seen?.namespaces ?? [];
    if (seen === undefined || namespace === undefined) return false;
    const { hosts, allowAnyHost = false } = record.params;
    return (
      (record.uuid === null || (namespace.uuid ?? record.uuid) === record.uuid) &&
      seen.allowAnyHost === allowAnyHost &&
      seen.hosts.length === hosts.length &&
      hosts.every((host) => seen.hosts.includes(host)) &&
      this.listens(seen)
    );
  }

  private listens({ listenAddresses }: NvmfSubsystemInfo): boolean {
    const { traddr, trsvcid } = this.listen;
    return listenAddresses.some(
      (address) => address.traddr === traddr && address.trsvcid === trsvcid,
    );
  }

  private async takeAway(nqn: string): Promise<void> {
    const record = this.journal.owned('subsystem', nqn);
    if (record === undefined) return;
    await this.deleteOurs(record);
    await this.journal.dropOwned('subsystem', nqn);
  }

  private async deleteOurs({ name: nqn, ...record }: OwnedSubsystem): Promise<void> {
    const seen = await this.see(nqn);
    const uuid = seen?.namespaces[0]?.uuid;
    if (uuid !== undefined && record.uuid !== null && uuid !== record.uuid) {
      throw notOwned(nqn, uuid);
    }
    if (seen !== undefined) await this.target.spdk().nvmf.deleteSubsystem(nqn);
  }

  private async see(nqn: string): Promise<NvmfSubsystemInfo | undefined> {
    const subsystems = await this.target.spdk().nvmf.getSubsystems();
    return subsystems.find((subsystem) => subsystem.nqn === nqn);
  }
}

/** NVMe serial numbers have 20 characters. */
function serialOf(uuid: string): string {
  return `LRT${uuid.replaceAll('-', '').slice(0, 17)}`;
}

function notOwned(nqn: string, other: string): Error {
  return lariatError(
    'NOT_OWNED',
    `subsystem ${nqn} is there and belongs to ${other}; it is left untouched. Remove it by hand`,
  );
}
