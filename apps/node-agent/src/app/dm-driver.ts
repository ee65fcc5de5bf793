import { frontendHostNqn } from '@lariat/contracts';
import { delay, type Clock } from '@lariat/kernel';
import { join } from 'node:path';
import {
  connectionsOf,
  dmOf,
  dmUuid,
  type DmWorld,
  nextDmStep,
  pathOf,
} from '../domain/dm-life.js';
import type { OwnedDm, OwnedFrontend } from '../domain/ownership.js';
import type { DeviceNodesPort } from '../ports/device-nodes.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { DeviceMapperPort, DmTable, KernelNvmePort } from '../ports/kernel-devices.port.js';
import { type LifeDriver, type Rest, withParams } from './device-lives.js';

export interface DmDriverParts {
  readonly journal: JournalPort;
  readonly nvme: KernelNvmePort;
  readonly mapper: DeviceMapperPort;
  readonly nodes: DeviceNodesPort;
  readonly clock: Clock;
  /** Of this life of the machine. */
  readonly bootId: string;
  /** Where users of this host look for volumes. */
  readonly deviceDir: string;
  /** Whether the volume's device reads zeros after a discard (design section 5). */
  readonly discards: () => boolean;
}

/** The kernel looks for namespaces after a connect has ended. */
const PATH_DEADLINE_MS = 2_000;
const PATH_POLL_MS = 10;

/** Device-mapper devices on the kernel's own NVMe/TCP host: one more layer, which can be given another path beneath. */
export class DmDriver implements LifeDriver<OwnedDm> {
  constructor(private readonly parts: DmDriverParts) {}

  plan(frontend: OwnedFrontend, name: string): OwnedDm {
    const { name: volume, epoch, operation, params } = frontend;
    const { endpoint } = params;
    return {
      ...{ kind: 'dm', name, uuid: endpoint.uuid, owner: volume, volume, operation, epoch },
      params: {
        endpoint,
        hostNqn: frontendHostNqn(volume, epoch),
        node: join(this.parts.deviceDir, volume),
        ...{ pointedAt: null, isRemoving: false, leaving: null },
      },
    };
  }

  deviceOf(record: OwnedDm): string | undefined {
    return dmOf(record, this.parts.mapper.list())?.device;
  }

  look(): (record: OwnedDm) => Rest {
    const seen = this.seen();
    return (record) => {
      const step = nextDmStep(record, this.worldOf(record, seen));
      if (step === 'settled') return 'settled';
      // The kernel connects again by itself, and looks for what is there then.
      return step === 'in-use' || step === 'held' || step === 'await-path'
        ? 'waiting'
        : 'unsettled';
    };
  }

  async advance(record: OwnedDm, operation: string): Promise<'go-on' | 'stop'> {
    const { journal, nvme, mapper, nodes } = this.parts;
    const world = this.worldOf(record);
    const uuid = dmUuid(record);
    const dm = dmOf(record, world.dms);
    const path = pathOf(record, world);
    const { endpoint, hostNqn, node, pointedAt } = record.params;
    const table = { over: path?.device ?? null, sizeBytes: path?.sizeBytes ?? 0 };
    switch (nextDmStep(record, world)) {
      case 'settled':
      case 'held':
      case 'in-use':
        return 'stop';
      case 'let-go':
        await journal.putOwned(withParams(record, { held: null }));
        return 'go-on';
      case 'connect':
        await this.noteBoot(record);
        await nvme.connect(endpoint, hostNqn, operation);
        return 'go-on';
      case 'await-path':
        return (await this.awaitPath(record)) ? 'go-on' : 'stop';
      case 'create':
        this.refuseDiscards(table);
        await mapper.create(`lariat-${record.name}`, uuid, table, operation);
        return 'go-on';
      case 'reload':
        this.refuseDiscards(table);
        await mapper.reload(uuid, table, operation);
        return 'go-on';
      case 'resume':
        await mapper.resume(uuid, operation);
        return 'go-on';
      case 'point-node': {
        const device = dm?.device ?? '';
        await journal.putOwned(withParams(record, { pointedAt: device }));
        nodes.point(node, device);
        return 'go-on';
      }
      case 'unpoint-node':
        if (pointedAt !== null) nodes.remove(node, pointedAt);
        await journal.putOwned(withParams(record, { pointedAt: null }));
        return 'go-on';
      case 'cut-off':
      case 'disconnect':
        for (const { name } of connectionsOf(record, world.controllers))
          await nvme.disconnect(name, operation);
        return 'go-on';
      case 'fail-io':
        await mapper.reload(uuid, { over: null, sizeBytes: dm?.sizeBytes ?? 0 }, operation);
        await journal.putOwned(withParams(record, { isFailed: true }));
        return 'go-on';
      case 'remove':
        await mapper.remove(uuid, operation);
        await journal.putOwned(withParams(record, { isRemoving: true }));
        return 'go-on';
      case 'forget':
        await journal.dropOwned('dm', record.name);
        return 'stop';
    }
  }

  /** The kernel takes over what is beneath a table when that is loaded. */
  private refuseDiscards({ over }: DmTable): void {
    if (over !== null && !this.parts.discards()) this.parts.nvme.refuseDiscards(over);
  }

  /** From now on it is this kernel that sends again what was not answered. */
  private async noteBoot({ volume, epoch }: OwnedDm): Promise<void> {
    const { journal, bootId } = this.parts;
    const frontend = journal.owned('frontend', volume);
    if (frontend === undefined || frontend.epoch !== epoch || frontend.params.bootId === bootId)
      return;
    await journal.putOwned({ ...frontend, params: { ...frontend.params, bootId } });
  }

  /** Grows with what the machine has: one look serves all records. */
  private seen(): Omit<DmWorld, 'pointsTo' | 'nowMs'> {
    const { nvme, mapper } = this.parts;
    return {
      dms: mapper.list(),
      namespaces: nvme.namespaces(),
      controllers: nvme.controllers(),
    };
  }

  private worldOf({ params }: OwnedDm, seen = this.seen()): DmWorld {
    const pointsTo = params.leaving === null ? this.parts.nodes.read(params.node) : null;
    return { ...seen, pointsTo, nowMs: this.parts.clock.nowMs() };
  }

  private async awaitPath(record: OwnedDm): Promise<boolean> {
    const { clock } = this.parts;
    const deadlineMs = clock.monotonicMs() + PATH_DEADLINE_MS;
    while (nextDmStep(record, this.worldOf(record)) === 'await-path') {
      if (clock.monotonicMs() > deadlineMs) return false;
      await delay(PATH_POLL_MS);
    }
    return true;
  }
}
