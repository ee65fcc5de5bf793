import { randomUUID } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../../app/log.js';
import { RpcError } from '../../rpc/rpc-error.js';
import { BdevClaim, BdevEvent, type Bdev } from '../bdev.js';
import { OverlayBdev } from '../overlay/overlay-bdev.js';
import type { TargetBdevs } from '../registry.js';
import { readBootId } from './boot-id.js';
import { clearLabelAreas, refuseContent, superblockLength } from './label-areas.js';
import { LvolBdev } from './lvol-bdev.js';
import { LvolMetadata } from './lvol-metadata.js';
import { checkName, clustersOf, LvolStore } from './lvol-store.js';
import type { Lvol } from './lvol.js';
import {
  decodeSuperblock,
  encodeSuperblock,
  SUPERBLOCK_SIZE_BYTES,
  type Superblock,
} from './superblock.js';

const DEFAULT_CLUSTER_SIZE_BYTES = 4 * 1024 * 1024;

/**
 * Media that are looked at for a store by themselves. Volumes are not: their first bytes are their users',
 * who could write there what looks like a store.
 */
const EXAMINED_PRODUCTS: ReadonlySet<string> = new Set(['AIO disk', 'Malloc disk']);

/** True for what is looked at by itself as soon as it appears. */
export function isMedium(bdev: Bdev): boolean {
  if (bdev instanceof OverlayBdev) return isMedium(bdev.base);
  return EXAMINED_PRODUCTS.has(bdev.productName);
}

/** A folder under this name belongs to a store whose creation, or deletion, was not finished. */
const UNFINISHED = '.unfinished';

export interface LvolStoresDeps {
  readonly registry: TargetBdevs;
  readonly stateDir: string;
  readonly log: Log;
}

export interface NewStore {
  readonly bdevName: string;
  readonly name: string;
  readonly clusterSizeBytes: number | undefined;
  /** Whether what else the bdev holds may be lost; another lvol store may not, in any case. */
  readonly overwrite?: boolean;
}

/** The lvol stores of a target. A store's metadata is in `<stateDir>/lvs-<uuid>`. */
export class LvolStores {
  private readonly open = new Map<string, LvolStore>();
  private readonly opening = new Set<string>();
  private readonly closing = new Map<string, Promise<void>>();
  /** Stores whose folder was unfinished at the start: their superblocks are void. */
  private readonly void = new Set<string>();
  private readonly swept: Promise<void>;

  constructor(private readonly deps: LvolStoresDeps) {
    const { registry } = deps;
    this.swept = this.sweep();
    // Whoever awaits it gets the error; until then it is no one's.
    this.swept.catch(() => undefined);
    registry.onExamine((bdev) => (isMedium(bdev) ? this.examine(bdev) : Promise.resolve()));
    registry.onRemove((bdev) => this.removed(bdev));
    registry.listen((event, bdev) => {
      if (event === BdevEvent.register) this.connectClones(bdev);
      if (event === BdevEvent.unregister) this.disconnectClones(bdev);
    });
  }

  list(): readonly LvolStore[] {
    return [...this.open.values()];
  }

  findByUuid(uuid: string): LvolStore | undefined {
    return this.open.get(uuid.toLowerCase());
  }

  findByName(name: string): LvolStore | undefined {
    return this.list().find((store) => store.name === name);
  }

  /** The lvol that a bdev shows. */
  lvolOf(bdev: Bdev | undefined): { readonly store: LvolStore; readonly lvol: Lvol } | undefined {
    if (!(bdev instanceof LvolBdev)) return undefined;
    const store = this.open.get(bdev.store.uuid);
    return store === undefined ? undefined : { store, lvol: bdev.lvol };
  }

  async create(wanted: NewStore): Promise<LvolStore> {
    const { bdevName, name, clusterSizeBytes, overwrite = false } = wanted;
    const { registry } = this.deps;
    checkName(name);
    const bdev = registry.find(bdevName);
    if (bdev === undefined) throw RpcError.errno('ENODEV');
    if (registry.claimOf(bdev) !== undefined) throw RpcError.errno('EPERM');
    const cluster = clusterSizeBytes ?? DEFAULT_CLUSTER_SIZE_BYTES;
    if (cluster < SUPERBLOCK_SIZE_BYTES || cluster % bdev.blockSizeBytes !== 0) {
      throw RpcError.errno('EINVAL');
    }
    if (this.findByName(name) !== undefined) throw RpcError.errno('EEXIST');
    const user = claimUser(name);
    registry.claim(bdev, user, BdevClaim.exclusiveWrite);
    try {
      await this.swept;
      if ((await readSuperblock(bdev)) !== undefined) throw RpcError.errno('EEXIST');
      if (clustersOf(bdev.sizeBytes, cluster) < 2) throw RpcError.errno('ENOSPC');
      if (overwrite) await clearLabelAreas(bdev);
      else await refuseContent(bdev);
      const store = await this.format(bdev, name, cluster);
      if (registry.find(bdev.name) === bdev) return store;
      // Removed meanwhile, when there was no store yet to close.
      await this.unload(store);
      throw RpcError.errno('ENODEV');
    } catch (error) {
      registry.release(bdev, user);
      throw error;
    }
  }

  /** Deletes a store with all of its lvols; refused while one of them is in use. */
  async destroy(store: LvolStore): Promise<void> {
    for (const lvol of store.lvols.values()) {
      if (lvol.isBusy || store.isClaimed(lvol)) throw RpcError.errno('EBUSY');
    }
    this.open.delete(store.uuid);
    // Another bdev on the same medium is looked at only when this is over: it must not open what is being deleted.
    const erased = this.erase(store).finally(() => this.closing.delete(store.uuid));
    this.closing.set(
      store.uuid,
      erased.catch(() => undefined),
    );
    return erased;
  }

  private async erase(store: LvolStore): Promise<void> {
    const user = claimUser(store.name);
    await store.close();
    const folder = this.folderOf(store.uuid);
    await rename(folder, folder + UNFINISHED);
    await syncFolder(this.deps.stateDir);
    this.void.add(store.uuid);
    await clearLabelAreas(store.base);
    await rm(folder + UNFINISHED, { recursive: true });
    this.deps.registry.release(store.base, user);
  }

  async rename(store: LvolStore, name: string): Promise<void> {
    if (name === store.name) return;
    checkName(name);
    if (this.findByName(name) !== undefined) throw RpcError.errno('EEXIST');
    const { registry } = this.deps;
    const user = claimUser(store.name);
    await store.exclusively(() => store.rename(name));
    registry.release(store.base, user);
    registry.claim(store.base, claimUser(name), BdevClaim.exclusiveWrite);
  }

  /** Opens the store on a bdev, if there is one. What is wrong is logged: there is no one to answer. */
  async examine(bdev: Bdev): Promise<void> {
    const { registry, log } = this.deps;
    try {
      await this.swept;
      const superblock = await readSuperblock(bdev);
      if (superblock === undefined) return;
      await this.closing.get(superblock.uuid);
      if (this.void.has(superblock.uuid)) {
        if (registry.claimOf(bdev) === undefined) await clearLabelAreas(bdev);
        return;
      }
      if (registry.claimOf(bdev) === undefined) await this.load(bdev, superblock.uuid);
    } catch (error) {
      log.error('lvol store not opened', { bdev: bdev.name, error: (error as Error).message });
    }
  }

  /** Closes all stores, for the end of the process. */
  async close(): Promise<void> {
    await Promise.all(this.list().map((store) => this.unload(store)));
  }

  private async format(bdev: Bdev, name: string, clusterSizeBytes: number): Promise<LvolStore> {
    const uuid = randomUUID();
    const folder = this.folderOf(uuid);
    await mkdir(folder + UNFINISHED, { recursive: true });
    await syncFolder(this.deps.stateDir);
    const metadata = new LvolMetadata(folder + UNFINISHED);
    const totalClusters = clustersOf(bdev.sizeBytes, clusterSizeBytes);
    await metadata.commit({ store: { format: 1, uuid, name, clusterSizeBytes, totalClusters } });
    await metadata.flushed();
    await metadata.close();
    await syncFolder(folder + UNFINISHED);
    try {
      await writeSuperblock(bdev, encodeSuperblock({ uuid, clusterSizeBytes }));
      await rename(folder + UNFINISHED, folder);
      await syncFolder(this.deps.stateDir);
      return await this.openStore(bdev, uuid);
    } catch (error) {
      // The superblock may be there all the same, as when the bdev was removed before the flush.
      this.void.add(uuid);
      throw error;
    }
  }

  private async load(bdev: Bdev, uuid: string): Promise<void> {
    const { registry } = this.deps;
    if (this.open.has(uuid) || this.opening.has(uuid)) {
      throw new Error(`store ${uuid} is open on another bdev already`);
    }
    if (!existsSync(this.folderOf(uuid))) {
      throw new Error(
        `the metadata of store ${uuid} is missing: restore ${this.folderOf(uuid)}, or clear the disk's first ${SUPERBLOCK_SIZE_BYTES} bytes to give its lvols up`,
      );
    }
    const store = await this.openStore(bdev, uuid);
    try {
      registry.claim(bdev, claimUser(store.name), BdevClaim.exclusiveWrite);
    } catch (error) {
      this.open.delete(uuid);
      await store.close();
      throw error;
    }
    for (const lvol of store.lvols.values()) this.connect(store, lvol);
    store.showAll();
  }

  private async openStore(bdev: Bdev, uuid: string): Promise<LvolStore> {
    const metadata = new LvolMetadata(this.folderOf(uuid), (error) =>
      this.deps.log.error('lvol store takes no more changes until the target is started anew', {
        store: uuid,
        error: error.message,
      }),
    );
    this.opening.add(uuid);
    try {
      const undone = await metadata.recover(readBootId());
      if (undone > 0) {
        this.deps.log.warning('writes that were never flushed are lost after a power cut', {
          store: uuid,
          clusters: undone,
        });
      }
      const record = metadata.readStore();
      if (record === undefined || record.uuid !== uuid) {
        throw new Error(`the folder of store ${uuid} holds no store of that uuid`);
      }
      if (clustersOf(bdev.sizeBytes, record.clusterSizeBytes) < record.totalClusters) {
        throw new Error(`the bdev of store ${uuid} is smaller than the store`);
      }
      if (this.findByName(record.name) !== undefined) {
        throw RpcError.errno('EEXIST', `there is another store named ${record.name}`);
      }
      const store = new LvolStore({ registry: this.deps.registry, base: bdev, metadata }, record);
      store.load();
      this.open.set(uuid, store);
      return store;
    } catch (error) {
      void metadata.close();
      throw error;
    } finally {
      this.opening.delete(uuid);
    }
  }

  private async removed(bdev: Bdev): Promise<void> {
    const store = this.list().find(({ base }) => base === bdev);
    if (store !== undefined) await this.unload(store);
  }

  private unload(store: LvolStore): Promise<void> {
    this.open.delete(store.uuid);
    const closed = store.close().finally(() => {
      this.closing.delete(store.uuid);
      this.deps.registry.release(store.base, claimUser(store.name));
    });
    this.closing.set(store.uuid, closed);
    return closed;
  }

  private connectClones(bdev: Bdev): void {
    for (const store of this.list()) {
      const waiting = [...store.lvols.values()].filter(
        ({ external }) => external?.uuid === bdev.uuid && external.bdev === undefined,
      );
      for (const lvol of waiting) this.connect(store, lvol);
      if (waiting.length > 0) store.showAll();
    }
  }

  /** The clones stay: what they have of their own is good, and the rest fails until the bdev is back. */
  private disconnectClones(bdev: Bdev): void {
    for (const store of this.list()) {
      for (const { external } of store.lvols.values()) {
        if (external?.bdev === bdev) external.bdev = undefined;
      }
    }
  }

  private connect(store: LvolStore, lvol: Lvol): void {
    try {
      store.connect(lvol);
    } catch (error) {
      this.deps.log.warning('external snapshot in exclusive use', {
        lvol: lvol.uuid,
        error: (error as Error).message,
      });
    }
  }

  private async sweep(): Promise<void> {
    const { stateDir } = this.deps;
    await mkdir(stateDir, { recursive: true });
    for (const entry of await readdir(stateDir)) {
      if (!entry.startsWith('lvs-') || !entry.endsWith(UNFINISHED)) continue;
      this.void.add(entry.slice('lvs-'.length, -UNFINISHED.length));
      await rm(join(stateDir, entry), { recursive: true });
    }
  }

  private folderOf(uuid: string): string {
    return join(this.deps.stateDir, `lvs-${uuid}`);
  }
}

function claimUser(storeName: string): string {
  return `lvol store ${storeName}`;
}

/** After a power cut an unsynced rename may be undone, and a store's folder be taken for one that was never finished. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function readSuperblock(bdev: Bdev): Promise<Superblock | undefined> {
  const length = superblockLength(bdev);
  return bdev.sizeBytes < length ? undefined : decodeSuperblock(await bdev.read(0, length));
}

async function writeSuperblock(bdev: Bdev, block: Buffer): Promise<void> {
  await bdev.write(0, Buffer.concat([block], superblockLength(bdev)));
  await bdev.flush();
}
