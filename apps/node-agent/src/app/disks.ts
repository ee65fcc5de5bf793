import { hasCode, lariatError, type DiskRecord } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, isLariatId, newUuid } from '@lariat/kernel';
import { SpdkError, type LvstoreInfo } from '@lariat/spdk';
import { aioName } from '../domain/names.js';
import type { OwnedDisk } from '../domain/ownership.js';
import type { FilesPort } from '../ports/files.port.js';
import type { StoreClaimsPort } from '../ports/store-claims.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import { isAbsent, isOutage } from './target-errors.js';

export interface DiskPlan {
  readonly disk: string;
  readonly name: string;
  readonly path: string;
  readonly tags: readonly string[];
  /** Makes a file of this size when there is none. */
  readonly sizeBytes: number | null;
  /** What the disk holds may be lost. */
  readonly erase?: boolean;
}

/** One block size for all disks, so that legs of a raid match whatever they lie on. */
const BLOCK_SIZE_BYTES = 4096;
/** Clearing a large device takes its time. */
const STORE_TIMEOUT_MS = 30 * 60_000;

/** Disks: an AIO bdev and the lvol store on it, named after the disk's id. */
export class Disks {
  constructor(
    private readonly journal: JournalPort,
    private readonly target: TargetPort,
    private readonly files: FilesPort,
    private readonly claims: StoreClaimsPort,
  ) {}

  /**
   * Makes the disk, or adopts it; content that is not ours is refused, unless it may be erased. A store of this cluster, as a
   * node that was installed anew finds it, keeps the id that it has.
   */
  async add(plan: DiskPlan, operation: string): Promise<DiskRecord> {
    const adopted = this.adoptedBy(plan, operation);
    if (adopted !== undefined) {
      await this.load(adopted);
      return toDiskRecord(adopted);
    }
    const known = this.journal.owned('disk', plan.disk);
    this.refuseTaken(plan, known);
    const kind = await this.files.kindOf(plan.path);
    if (kind === 'other') {
      throw lariatError('REQUEST_INVALID', `${plan.path} is neither a file nor a block device`);
    }
    if (kind === 'absent' && (plan.sizeBytes === null || known?.uuid != null)) {
      throw lariatError(
        'DISK_NOT_FOUND',
        `${plan.path} does not exist; connect the disk, or give a size to make a new file`,
      );
    }
    let record: OwnedDisk = known ?? {
      kind: 'disk',
      name: plan.disk,
      uuid: null,
      owner: plan.disk,
      volume: null,
      operation,
      epoch: null,
      params: {
        diskName: plan.name,
        path: plan.path,
        tags: plan.tags,
        madeSizeBytes: kind === 'absent' ? plan.sizeBytes : null,
        bdevUuid: newUuid(),
        capacityBytes: 0,
        clusterSizeBytes: CLUSTER_SIZE_BYTES,
      },
    };
    if (known === undefined) await this.journal.putOwned(record);
    if (kind === 'absent' && plan.sizeBytes !== null) {
      await this.files.makeSparse(plan.path, plan.sizeBytes);
    }
    try {
      const found = await this.foundStore(record);
      if (found !== undefined) return toDiskRecord(await this.adopt(record, found));
      const store = await this.openStore(record, plan.erase ?? false);
      const capacityBytes = store.totalDataClusters * store.clusterSizeBytes;
      const { clusterSizeBytes } = store;
      record = {
        ...record,
        uuid: store.uuid,
        params: { ...record.params, capacityBytes, clusterSizeBytes },
      };
    } catch (reason) {
      // Nothing of ours was put there, so nothing of ours may stay on record.
      if (record.uuid === null && isRefusal(reason) && !this.hasBegun(record)) {
        await this.closeBdev(record);
        await this.journal.dropOwned('disk', record.name);
      }
      throw reason;
    }
    await this.journal.putOwned(record);
    return toDiskRecord(record);
  }

  /** What an earlier try of this operation has found on the path, under the id that it has. */
  private adoptedBy({ disk, path }: DiskPlan, operation: string): OwnedDisk | undefined {
    return this.journal
      .ownedOfKind('disk')
      .find(
        (one) =>
          one.params.path === path &&
          one.name !== disk &&
          one.uuid !== null &&
          one.operation === operation,
      );
  }

  /** A store on a new disk that has another disk's name. */
  private async foundStore(record: OwnedDisk): Promise<LvstoreInfo | undefined> {
    if (record.uuid !== null || this.hasBegun(record)) return undefined;
    await this.openBdev(record);
    await this.target.spdk().bdev.waitForExamine();
    const found = await this.storeOn(record);
    return found !== undefined && found.name !== record.name && isLariatId(found.name)
      ? found
      : undefined;
  }

  /** Takes up what the services say is this node's, as the disk that it was before. */
  private async adopt(record: OwnedDisk, store: LvstoreInfo): Promise<OwnedDisk> {
    await this.claims.claim(store.name, store.uuid);
    const { totalDataClusters, clusterSizeBytes } = store;
    const capacityBytes = totalDataClusters * clusterSizeBytes;
    const adopted: OwnedDisk = {
      ...record,
      ...{ name: store.name, owner: store.name, uuid: store.uuid },
      params: { ...record.params, capacityBytes, clusterSizeBytes },
    };
    // Its bdev is to have the name that goes with the store's.
    await this.closeBdev(record);
    await this.journal.dropOwned('disk', record.name);
    await this.journal.putOwned(adopted);
    await this.load(adopted);
    return adopted;
  }

  /** Loads a known disk into a target that has just started. */
  async load(record: OwnedDisk): Promise<void> {
    await this.openBdev(record);
    await this.target.spdk().bdev.waitForExamine();
    const store = await this.storeOn(record);
    if (record.uuid === null || store?.uuid === record.uuid) return;
    // Nothing of ours is on it: whoever put it there may want it back.
    await this.closeBdev(record);
    throw missingStore(record, store);
  }

  async remove(disk: string): Promise<void> {
    const record = this.journal.owned('disk', disk);
    if (record === undefined) return;
    const users = this.journal.ownedOfKind('lvol').filter((lvol) => lvol.params.disk === disk);
    const [first] = users;
    const isRemoving = record.params.removing === true;
    if (!isRemoving && (await this.isLost(record))) {
      // What was there went with the disk; a disk that is connected again after this is a foreign one.
      for (const { name } of users) await this.journal.dropOwned('lvol', name);
      await this.journal.dropOwned('disk', disk);
      return;
    }
    if (first !== undefined) {
      throw lariatError(
        'DISK_IN_USE',
        `disk ${disk} holds ${users.length} lvol(s), ${first.name} among them; move or delete their replicas and image copies first`,
      );
    }
    const store = await this.storeOn(record);
    if (store !== undefined && store.uuid === record.uuid) {
      const { lvol } = this.target.spdk();
      const strangers = await lvol.getLvols({ uuid: store.uuid });
      if (strangers.length > 0) {
        throw lariatError(
          'DISK_IN_USE',
          `disk ${disk} holds ${strangers.length} lvol(s) that no record of this node explains; they are left untouched`,
        );
      }
      await this.journal.putOwned({ ...record, params: { ...record.params, removing: true } });
      await lvol.deleteLvstore({ uuid: store.uuid });
    }
    await this.closeBdev(record);
    if (record.params.madeSizeBytes !== null) await this.files.remove(record.params.path);
    await this.journal.dropOwned('disk', disk);
  }

  /** Whether it can't be loaded, of all that is known of it; a target that does not answer says nothing. */
  private async isLost(record: OwnedDisk): Promise<boolean> {
    if (record.uuid === null || (await this.storeOn(record)) !== undefined) return false;
    try {
      await this.load(record);
      return false;
    } catch (reason) {
      if (isOutage(reason)) throw reason;
      return true;
    }
  }

  records(): readonly DiskRecord[] {
    return this.journal
      .ownedOfKind('disk')
      .filter((record) => record.uuid !== null)
      .map(toDiskRecord);
  }

  private refuseTaken(plan: DiskPlan, known: OwnedDisk | undefined): void {
    const other = this.journal
      .ownedOfKind('disk')
      .find((disk) => disk.params.path === plan.path && disk.name !== plan.disk);
    if (other !== undefined) {
      throw lariatError('DISK_TAKEN', `${plan.path} is disk ${other.name} already`);
    }
    if (known !== undefined && known.params.path !== plan.path) {
      throw lariatError('DISK_TAKEN', `disk ${plan.disk} is ${known.params.path} already`);
    }
  }

  /** A store may be half made on the disk. */
  private hasBegun(record: OwnedDisk): boolean {
    return this.journal.owned('disk', record.name)?.params.formatBegun ?? false;
  }

  /** The lvol store on the disk, found by examine or made now. */
  private async openStore(record: OwnedDisk, erase: boolean): Promise<LvstoreInfo> {
    const { path } = record.params;
    await this.openBdev(record);
    const { bdev, lvol } = this.target.spdk();
    await bdev.waitForExamine();
    const found = await this.storeOn(record);
    if (found?.name === record.name) return found;
    if (record.uuid !== null) throw missingStore(record, found);
    if (found !== undefined) {
      // The control plane knows whose it is, where it is one of this cluster.
      if (!erase)
        throw foreign(`${path} holds the lvol store '${found.name}'`, {
          storeUuid: found.uuid,
        });
      await this.closeBdev(record);
    }
    await this.makeBlank(record, erase);
    await lvol.createLvstore(
      {
        bdevName: aioName(record.name),
        lvsName: record.name,
        clusterSizeBytes: CLUSTER_SIZE_BYTES,
        // Old bytes of the disk must never show through a new cluster (invariant 10).
        clearMethod: 'write_zeroes',
      },
      { timeoutMs: STORE_TIMEOUT_MS },
    );
    const made = await this.storeOn(record);
    if (made === undefined) {
      throw lariatError(
        'TARGET_REFUSED',
        `the new lvol store of disk ${record.name} is not listed`,
      );
    }
    return made;
  }

  private async makeBlank(record: OwnedDisk, erase: boolean): Promise<void> {
    const { path } = record.params;
    const content = await this.files.contentOf(path);
    // What an interrupted try of our own has begun to write is not foreign.
    if (content.length > 0 && !erase && !this.hasBegun(record)) {
      const storeUuid = await this.files.storeUuidOf(path);
      throw foreign(
        `${path} holds ${content.join(', ')}`,
        storeUuid === undefined ? {} : { storeUuid },
      );
    }
    // On record before the first byte is written: a retry must not take what is ours for foreign, nor the reverse.
    await this.journal.putOwned({ ...record, params: { ...record.params, formatBegun: true } });
    if (content.length === 0) return;
    // The target lets no one else write to a disk that it has open.
    await this.closeBdev(record);
    try {
      await this.files.clearContent(path);
    } catch (reason) {
      throw isBusy(reason) ? taken(path, reason) : reason;
    }
    await this.openBdev(record);
  }

  private async openBdev(record: OwnedDisk): Promise<void> {
    const { bdev } = this.target.spdk();
    const name = aioName(record.name);
    try {
      const seen = await bdev.getBdev(name);
      if (seen.uuid === record.params.bdevUuid) return;
      throw lariatError('NOT_OWNED', `the target has another bdev named '${name}'`);
    } catch (reason) {
      if (!isAbsent(reason)) throw reason;
    }
    try {
      await bdev.aioCreate({
        name,
        filename: record.params.path,
        blockSizeBytes: BLOCK_SIZE_BYTES,
        uuid: record.params.bdevUuid,
      });
    } catch (reason) {
      throw isBusy(reason) ? taken(record.params.path, reason) : reason;
    }
  }

  private async closeBdev(record: OwnedDisk): Promise<void> {
    try {
      await this.target.spdk().bdev.aioDelete(aioName(record.name));
    } catch (reason) {
      if (!isAbsent(reason)) throw reason;
    }
  }

  private async storeOn(record: OwnedDisk): Promise<LvstoreInfo | undefined> {
    const stores = await this.target.spdk().lvol.getLvstores();
    return stores.find((store) => store.baseBdev === aioName(record.name));
  }
}

function foreign(what: string, details: Readonly<Record<string, string>> = {}): Error {
  return lariatError(
    'DISK_FOREIGN_CONTENT',
    `${what}, which is not Lariat's; it is left untouched. If nobody needs it, add the disk with 'erase' (lariat disk add --erase)`,
    details,
  );
}

function taken(path: string, reason: unknown): Error {
  return lariatError(
    'DISK_TAKEN',
    `${path} is in use on its node: mounted, part of a RAID or volume group, or the disk of another target; end that use first`,
    {},
    reason,
  );
}

function missingStore(record: OwnedDisk, found?: LvstoreInfo): Error {
  return lariatError(
    'DISK_STORE_MISSING',
    `${record.params.path} holds ${found === undefined ? 'no lvol store' : `store ${found.uuid}`}, not store ${record.uuid} of disk ${record.name}, which is never made anew; connect the right device, or remove the disk`,
  );
}

/** EBUSY of the target's answer, or of a call on this node. */
function isBusy(reason: unknown): boolean {
  if (reason instanceof SpdkError) return reason.errno === 'EBUSY';
  return reason instanceof Error && (reason as NodeJS.ErrnoException).code === 'EBUSY';
}

/** The disk is another's, and was left as it was. */
function isRefusal(reason: unknown): boolean {
  return hasCode(reason, 'DISK_FOREIGN_CONTENT') || hasCode(reason, 'DISK_TAKEN');
}

export function toDiskRecord(record: OwnedDisk): DiskRecord {
  const { diskName, path, tags, capacityBytes, clusterSizeBytes } = record.params;
  return {
    id: record.name,
    name: diskName,
    path,
    tags,
    lvsUuid: record.uuid ?? '',
    capacityBytes,
    clusterSizeBytes,
  };
}
