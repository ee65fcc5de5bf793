import { type NvmfEndpoint, lariatError } from '@lariat/contracts';
import type { NvmeControllerInfo } from '@lariat/spdk';
import { namespaceBdev } from '../domain/names.js';
import type { OwnedController } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import { isAbsent, isPathDown } from './target-errors.js';

export type ControllerPlan = Omit<OwnedController, 'kind' | 'uuid'> & { readonly uuid: string };

/** Short, so that a dead leg holds writes up for 2 s at most (design section 5 measured 3.1 s in all). */
const LOSS_TIMES = {
  reconnectDelaySeconds: 1,
  fastIoFailTimeoutSeconds: 2,
  ctrlrLossTimeoutSeconds: 5,
} as const;

/** Longer than any caller waits: an attach that a caller gave up is followed to its end, and undone. */
const ATTACH_TIMEOUT_MS = 30_000;

/** NVMe/TCP controllers that the target attaches, and their ownership records. */
export class Controllers {
  private readonly attaching = new Map<string, Promise<unknown>>();

  constructor(
    private readonly journal: JournalPort,
    private readonly target: TargetPort,
  ) {}

  /** Attaches, or adopts what is attached with the same address and host; gives the namespace's bdev. */
  async ensure(plan: ControllerPlan): Promise<string> {
    await this.settled(plan.name);
    const known = this.journal.owned('controller', plan.name);
    const seen = await this.see(plan.name);
    if (known === undefined && seen !== undefined) throw notOwned(plan.name);
    if (known !== undefined && known.owner !== plan.owner) throw notOwned(plan.name);
    const record: OwnedController = {
      ...plan,
      kind: 'controller',
      params: { ...plan.params, copy: known?.params.copy ?? plan.params.copy },
    };
    if (known === undefined || !samePath(known, record)) await this.journal.putOwned(record);
    return this.apply(record, seen);
  }

  /** Brings the target in line with a record. */
  async apply(record: OwnedController, seenBefore?: NvmeControllerInfo): Promise<string> {
    await this.settled(record.name);
    const { nvme } = this.target.spdk();
    const { endpoint, hostNqn } = record.params;
    const seen = seenBefore ?? (await this.see(record.name));
    const bdevName = namespaceBdev(record.name);
    if (seen !== undefined && leadsTo(seen, record) && (await this.brings(bdevName, record))) {
      return bdevName;
    }
    if (seen !== undefined) await nvme.detachController(record.name);
    const attach = nvme.attachController(
      {
        name: record.name,
        traddr: endpoint.traddr,
        trsvcid: endpoint.trsvcid,
        subnqn: endpoint.nqn,
        hostnqn: hostNqn,
        multipath: 'disable',
        ...LOSS_TIMES,
      },
      { timeoutMs: ATTACH_TIMEOUT_MS },
    );
    this.attaching.set(record.name, attach);
    let bdevs: readonly string[];
    try {
      bdevs = await attach;
    } catch (reason) {
      throw unreachable(endpoint, reason);
    } finally {
      this.attaching.delete(record.name);
    }
    if (bdevs.includes(bdevName) && (await this.brings(bdevName, record))) return bdevName;
    throw lariatError(
      'LEG_UNREACHABLE',
      `${endpoint.nqn} at ${endpoint.traddr}:${endpoint.trsvcid} answers, but not with namespace ${endpoint.uuid}`,
    );
  }

  /** Detaches; does nothing when no record names it. */
  async remove(name: string): Promise<void> {
    if (this.journal.owned('controller', name) === undefined) return;
    if (this.attaching.has(name)) {
      // It may still come up: the record stays until it has, and is then taken away with it.
      // A failure here leaves the record, and the sweep of stray controllers tries again.
      void this.settled(name).then(() => this.detach(name).catch(() => undefined));
      return;
    }
    await this.detach(name);
  }

  private async detach(name: string): Promise<void> {
    try {
      await this.target.spdk().nvme.detachController(name);
    } catch (reason) {
      if (!isAbsent(reason)) throw reason;
    }
    await this.journal.dropOwned('controller', name);
  }

  private async settled(name: string): Promise<void> {
    // Only the end of the attempt matters here; whoever made it learns of its failure.
    await this.attaching.get(name)?.catch(() => undefined);
  }

  async see(name: string): Promise<NvmeControllerInfo | undefined> {
    const controllers = await this.target.spdk().nvme.getControllers();
    return controllers.find((controller) => controller.name === name);
  }

  /** Names of the controllers whose path works. */
  async connected(): Promise<ReadonlySet<string>> {
    const controllers = await this.target.spdk().nvme.getControllers();
    const working = controllers.filter(({ paths }) =>
      paths.some(({ state }) => state === 'enabled'),
    );
    return new Set(working.map(({ name }) => name));
  }

  private async brings(bdevName: string, record: OwnedController): Promise<boolean> {
    try {
      const bdev = await this.target.spdk().bdev.getBdev(bdevName);
      return record.uuid === null || bdev.uuid === record.uuid;
    } catch (reason) {
      if (isAbsent(reason)) return false;
      throw reason;
    }
  }
}

function samePath(one: OwnedController, other: OwnedController): boolean {
  const a = one.params;
  const b = other.params;
  return (
    one.uuid === other.uuid &&
    one.epoch === other.epoch &&
    a.hostNqn === b.hostNqn &&
    a.endpoint.nqn === b.endpoint.nqn &&
    a.endpoint.traddr === b.endpoint.traddr &&
    a.endpoint.trsvcid === b.endpoint.trsvcid
  );
}

function leadsTo(seen: NvmeControllerInfo, record: OwnedController): boolean {
  const { endpoint, hostNqn } = record.params;
  return seen.paths.some(
    (path) =>
      path.hostNqn === hostNqn &&
      path.address.subnqn === endpoint.nqn &&
      path.address.traddr === endpoint.traddr &&
      path.address.trsvcid === endpoint.trsvcid,
  );
}

/** Names the subsystem, by which a caller knows whose node it is that can't be reached. */
function unreachable({ nqn, traddr, trsvcid }: NvmfEndpoint, reason: unknown): unknown {
  if (!isPathDown(reason)) return reason;
  return lariatError(
    'LEG_UNREACHABLE',
    `${nqn} can't be reached at ${traddr}:${trsvcid}: ${reason.message}`,
    { ...reason.details, nqn },
    reason,
  );
}

function notOwned(name: string): Error {
  return lariatError(
    'NOT_OWNED',
    `the target has a controller '${name}' that no record of ours explains; detach it by hand`,
  );
}
