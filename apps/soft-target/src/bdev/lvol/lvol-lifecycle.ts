import { randomUUID } from 'node:crypto';
import { RpcError } from '../../rpc/rpc-error.js';
import type { Bdev } from '../bdev.js';
import { isOwned, UNALLOCATED, ZEROED } from './cluster-table.js';
import { checkExternalParent, checkIdle, checkPresent } from './lvol-checks.js';
import type { EntryChange } from './lvol-metadata.js';
import { checkName, type LvolStore } from './lvol-store.js';
import { Lvol, type LvolInit } from './lvol.js';
import { mergeIntoClone } from './merge-into-clone.js';

/** 2 PiB in clusters of 1 MiB; within 31 bits, so that sums of a few stay exact wherever they are made. */
const MAX_LVOL_CLUSTERS = 2 ** 31 - 1;

export function createLvol(
  store: LvolStore,
  name: string,
  sizeBytes: number,
  isThin: boolean,
): Promise<Lvol> {
  return store.exclusively(async () => {
    store.checkNewName(name);
    const sizeClusters = sizeInClusters(store, sizeBytes);
    const reserved = isThin ? 0 : sizeClusters;
    if (!store.allocator.reserve(reserved)) throw RpcError.errno('ENOSPC');
    try {
      return await add(store, newLvol(store, { name, sizeClusters, isThin }));
    } catch (error) {
      store.allocator.unreserve(reserved);
      throw error;
    }
  });
}

export function createClone(store: LvolStore, snapshot: Lvol, name: string): Promise<Lvol> {
  return store.exclusively(async () => {
    checkPresent(store, snapshot);
    store.checkNewName(name);
    if (!snapshot.isReadOnly) throw RpcError.errno('EINVAL');
    checkIdle(snapshot);
    const { sizeClusters } = snapshot;
    const lvol = newLvol(store, { name, sizeClusters, isThin: true });
    const record = lvol.toRecord({ parent: { kind: 'lvol', uuid: snapshot.uuid } });
    await store.metadata.commit({
      putLvols: [record],
      apply: () => {
        store.lvols.set(lvol.uuid, lvol);
        lvol.rebase(snapshot, undefined);
      },
    });
    store.show(lvol);
    return lvol;
  });
}

/** A clone of a bdev outside the store, which must stay as it is. */
export function createExternalClone(store: LvolStore, external: Bdev, name: string): Promise<Lvol> {
  return store.exclusively(async () => {
    store.checkNewName(name);
    checkExternalParent(store, external);
    const sizeClusters = external.sizeBytes / store.clusterSizeBytes;
    const lvol = newLvol(store, { name, sizeClusters, isThin: true });
    lvol.rebase(undefined, { uuid: external.uuid, bdev: undefined });
    store.connect(lvol);
    try {
      return await add(store, lvol);
    } catch (error) {
      store.disconnect(lvol, lvol.external);
      throw error;
    }
  });
}

/** A snapshot with one clone leaves its clusters to it. */
export function deleteLvol(store: LvolStore, lvol: Lvol): Promise<void> {
  return store.exclusively(async () => {
    checkPresent(store, lvol);
    if (lvol.clones.size > 1) throw RpcError.errno('EPERM');
    const [clone] = lvol.clones;
    checkIdle(lvol);
    if (clone !== undefined) checkIdle(clone);
    if (store.isClaimed(lvol)) throw RpcError.errno('EBUSY');
    await store.hide(lvol);
    try {
      await (clone === undefined ? removeLeaf(store, lvol) : removeInto(store, lvol, clone));
    } catch (error) {
      store.show(lvol);
      throw error;
    }
  });
}

export function resizeLvol(store: LvolStore, lvol: Lvol, sizeBytes: number): Promise<void> {
  return store.exclusively(async () => {
    checkPresent(store, lvol);
    const sizeClusters = sizeInClusters(store, sizeBytes);
    if (lvol.isReadOnly) throw RpcError.errno('EPERM');
    if (sizeClusters === lvol.sizeClusters) return;
    checkIdle(lvol);
    await lvol.writes.close();
    try {
      await (sizeClusters > lvol.sizeClusters
        ? extend(store, lvol, sizeClusters)
        : shrink(store, lvol, sizeClusters));
    } finally {
      lvol.writes.open();
    }
    store.resized(lvol);
  });
}

export function renameLvol(store: LvolStore, lvol: Lvol, name: string): Promise<void> {
  return store.exclusively(async () => {
    checkPresent(store, lvol);
    if (name === lvol.name) return;
    checkName(name);
    store.checkNewName(name);
    await store.metadata.commit({
      putLvols: [lvol.toRecord({ name })],
      apply: () => (lvol.name = name),
    });
    store.renameAlias(lvol, store.aliasOf(name));
  });
}

export function setReadOnly(store: LvolStore, lvol: Lvol): Promise<void> {
  return store.exclusively(async () => {
    checkPresent(store, lvol);
    checkIdle(lvol);
    if (lvol.isReadOnly) return;
    await lvol.writes.close();
    try {
      await store.metadata.commit({
        putLvols: [lvol.toRecord({ isReadOnly: true })],
        apply: () => (lvol.isReadOnly = true),
      });
    } finally {
      lvol.writes.open();
    }
  });
}

/** Throws EINVAL for no cluster, and ENOMEM for more than a table can have. */
function sizeInClusters(store: LvolStore, sizeBytes: number): number {
  const sizeClusters = Math.ceil(sizeBytes / store.clusterSizeBytes);
  if (sizeClusters === 0) throw RpcError.errno('EINVAL');
  if (sizeClusters > MAX_LVOL_CLUSTERS) throw RpcError.errno('ENOMEM');
  return sizeClusters;
}

function newLvol(store: LvolStore, init: Pick<LvolInit, 'name' | 'sizeClusters' | 'isThin'>): Lvol {
  const table = store.metadata.newTable();
  return new Lvol({ ...init, table, uuid: randomUUID(), isReadOnly: false, isSnapshot: false });
}

async function add(store: LvolStore, lvol: Lvol): Promise<Lvol> {
  await store.metadata.commit({
    putLvols: [lvol.toRecord()],
    apply: () => store.lvols.set(lvol.uuid, lvol),
  });
  store.show(lvol);
  return lvol;
}

async function removeLeaf(store: LvolStore, lvol: Lvol): Promise<void> {
  const owned = ownedClusters(lvol);
  const reserved = lvol.reservedClusters;
  await store.metadata.commit({
    removeLvols: [lvol.uuid],
    removeTables: [lvol.table],
    apply: () => {
      store.lvols.delete(lvol.uuid);
      store.disconnect(lvol, lvol.external);
      lvol.rebase(undefined, undefined);
      store.allocator.unreserve(reserved);
    },
  });
  store.release(owned);
}

async function removeInto(store: LvolStore, snapshot: Lvol, clone: Lvol): Promise<void> {
  await clone.writes.close();
  try {
    // What the clone has written over the snapshot's clusters must be safe before those are freed.
    await store.io.settle();
    const { entries, freed } = mergeIntoClone(store.io, snapshot, clone);
    const { parent, external, reservedClusters } = snapshot;
    await store.metadata.commit({
      removeLvols: [snapshot.uuid],
      removeTables: [snapshot.table],
      putLvols: [clone.toRecord({ parent: snapshot.parentRecord() })],
      entries,
      apply: () => {
        store.lvols.delete(snapshot.uuid);
        store.disconnect(snapshot, external, clone);
        snapshot.rebase(undefined, undefined);
        clone.rebase(parent, external);
        // Of a snapshot that was inflated.
        store.allocator.unreserve(reservedClusters);
      },
    });
    store.release(freed);
  } finally {
    clone.writes.open();
  }
}

async function extend(store: LvolStore, lvol: Lvol, sizeClusters: number): Promise<void> {
  // What lies beneath past the old end was cut off once, or never this lvol's: it must not show again.
  const entries: EntryChange[] = [];
  const endBelow = store.io.endBelow(lvol);
  if (endBelow === Infinity) throw RpcError.errno('ENODEV');
  const end = Math.min(sizeClusters, endBelow);
  for (let cluster = lvol.sizeClusters; cluster < end; cluster += 1) {
    if (store.io.locateBelow(lvol, cluster).kind === 'zeros') continue;
    entries.push({ table: lvol.table, cluster, entry: ZEROED });
  }
  const added = lvol.isThin ? 0 : sizeClusters - lvol.sizeClusters;
  if (!store.allocator.reserve(added)) throw RpcError.errno('ENOSPC');
  try {
    await store.metadata.commit({
      putLvols: [lvol.toRecord({ sizeClusters })],
      entries,
      apply: () => (lvol.sizeClusters = sizeClusters),
    });
  } catch (error) {
    store.allocator.unreserve(added);
    throw error;
  }
}

async function shrink(store: LvolStore, lvol: Lvol, sizeClusters: number): Promise<void> {
  const entries: EntryChange[] = [];
  const freed: number[] = [];
  for (const [cluster, entry] of lvol.table.entries()) {
    if (cluster < sizeClusters) continue;
    entries.push({ table: lvol.table, cluster, entry: UNALLOCATED });
    if (isOwned(entry)) freed.push(entry);
  }
  const reservedBefore = lvol.reservedClusters;
  await store.metadata.commit({
    putLvols: [lvol.toRecord({ sizeClusters })],
    entries,
    apply: () => {
      lvol.sizeClusters = sizeClusters;
      store.allocator.unreserve(reservedBefore - lvol.reservedClusters);
    },
  });
  store.release(freed);
}

function ownedClusters(lvol: Lvol): number[] {
  return [...lvol.table.entries()].map(([, entry]) => entry).filter(isOwned);
}
