import { randomUUID } from 'node:crypto';
import { RpcError } from '../../rpc/rpc-error.js';
import type { Bdev } from '../bdev.js';
import { LvolBdev } from './lvol-bdev.js';
import { ClusterTable, isOwned, UNALLOCATED, ZEROED } from './cluster-table.js';
import { asRpcError, checkExternalParent, checkIdle, checkPresent } from './lvol-checks.js';
import type { EntryChange, ParentRecord } from './lvol-metadata.js';
import type { LvolStore } from './lvol-store.js';
import { Lvol, type ExternalParent } from './lvol.js';
import { mergeIntoClone } from './merge-into-clone.js';

/**
 * The snapshot takes the head's blob over, and the head goes on with an empty one on top of it: two records
 * change, whatever a thin head's size. Writes under way end up in the snapshot; later ones wait.
 */
export function snapshotLvol(store: LvolStore, head: Lvol, name: string): Promise<Lvol> {
  return store.exclusively(async () => {
    checkPresent(store, head);
    store.checkNewName(name);
    if (head.isReadOnly) throw RpcError.errno('EINVAL');
    checkIdle(head);
    await head.writes.close();
    try {
      const snapshot = await takeOver(store, head, name);
      store.show(snapshot);
      return snapshot;
    } finally {
      head.writes.open();
    }
  });
}

async function takeOver(store: LvolStore, head: Lvol, name: string): Promise<Lvol> {
  const table = store.metadata.newTable();
  const reserved = head.reservedClusters;
  const { parent, external } = head;
  const snapshot = new Lvol({
    uuid: randomUUID(),
    name,
    table: head.table,
    sizeClusters: head.sizeClusters,
    isThin: true,
    isReadOnly: true,
    isSnapshot: true,
  });
  await store.metadata.commit({
    entries: head.isThin ? [] : unwritten(head),
    putLvols: [
      snapshot.toRecord({ parent: head.parentRecord() }),
      head.toRecord({
        blobId: table.blobId,
        isThin: true,
        parent: { kind: 'lvol', uuid: snapshot.uuid },
      }),
    ],
    apply: () => {
      store.lvols.set(snapshot.uuid, snapshot);
      store.disconnect(head, external, snapshot);
      head.rebase(snapshot, undefined);
      snapshot.rebase(parent, external);
      head.table = table;
      head.isThin = true;
      store.allocator.unreserve(reserved);
    },
  });
  return snapshot;
}

/** A thick lvol has all of its clusters: where its snapshot is put onto another parent, their zeros stay. */
function unwritten(head: Lvol): readonly EntryChange[] {
  const { table } = head;
  return Array.from({ length: head.sizeClusters }, (_, cluster) => cluster)
    .filter((cluster) => table.get(cluster) === UNALLOCATED)
    .map((cluster) => ({ table, cluster, entry: ZEROED }));
}

/** Puts an lvol onto another snapshot of its store; what the lvol has of its own stays on top. */
export function setParent(store: LvolStore, lvol: Lvol, parent: Lvol): Promise<void> {
  return store.exclusively(async () => {
    checkPresent(store, lvol);
    if (lvol === parent) throw RpcError.errno('EINVAL');
    if (lvol.parent === parent) throw RpcError.errno('EEXIST');
    if (store.lvols.get(parent.uuid) !== parent) throw RpcError.errno('EINVAL');
    if (!lvol.isThin || !store.isSnapshot(parent)) throw RpcError.errno('EINVAL');
    if (lvol.sizeClusters !== parent.sizeClusters) throw RpcError.errno('EINVAL');
    if (isAbove(parent, lvol)) throw RpcError.errno('EINVAL');
    checkIdle(lvol);
    checkIdle(parent);
    await rebase(store, lvol, { parent });
  });
}

/** Puts an lvol onto a bdev outside its store. */
export function setExternalParent(store: LvolStore, lvol: Lvol, bdev: Bdev): Promise<void> {
  return store.exclusively(async () => {
    checkPresent(store, lvol);
    if (lvol.external?.uuid === bdev.uuid) throw RpcError.errno('EEXIST');
    if (bdev instanceof LvolBdev && isAbove(bdev.lvol, lvol)) throw RpcError.errno('EINVAL');
    checkExternalParent(store, bdev);
    if (!lvol.isThin) throw RpcError.errno('EINVAL');
    checkIdle(lvol);
    await rebase(store, lvol, { externalUuid: bdev.uuid });
  });
}

/** Copies what an lvol has from its parent, which is then its parent no longer. */
export async function decoupleParent(store: LvolStore, lvol: Lvol): Promise<void> {
  if (!lvol.hasBacking) throw RpcError.errno('EINVAL');
  // An outside bdev has nothing beneath it that the lvol could go on with (bs_inflate_blob_open_cpl).
  if (lvol.external !== undefined) return inflateLvol(store, lvol);
  await whileBusy(store, lvol, async () => {
    const { parent } = lvol;
    if (parent === undefined) throw RpcError.errno('EINVAL');
    const needed = [...parent.table.entries()].flatMap(([cluster, entry]) =>
      isOwned(entry) && cluster < lvol.sizeClusters && lvol.table.get(cluster) === UNALLOCATED
        ? [cluster]
        : [],
    );
    if (needed.length > store.allocator.freeCount) throw RpcError.errno('ENOSPC');
    for (const cluster of needed) await store.io.ownCluster(lvol, cluster, false);
    await store.exclusively(() =>
      rebase(
        store,
        lvol,
        { parent: parent.parent, externalUuid: parent.external?.uuid },
        // What the parent hid of its own parent stays hidden.
        () => mergeIntoClone(store.io, emptied(parent), lvol).entries,
      ),
    );
  });
}

/** Gives an lvol all of its clusters, with their content; it has no parent afterwards and is thick. */
export async function inflateLvol(store: LvolStore, lvol: Lvol): Promise<void> {
  if (!lvol.isThin) return;
  await whileBusy(store, lvol, async () => {
    const { allocator } = store;
    let held = lvol.sizeClusters - lvol.table.ownedCount;
    if (!allocator.reserve(held)) throw RpcError.errno('ENOSPC');
    try {
      for (let cluster = 0; cluster < lvol.sizeClusters && held > 0; cluster += 1) {
        if (await store.io.ownCluster(lvol, cluster, true)) held -= 1;
      }
      await store.exclusively(() =>
        whileWritesSettled(store, lvol, async () => {
          // Users' writes meanwhile have taken of the free space, or given back to it.
          const wanted = lvol.sizeClusters - lvol.table.ownedCount;
          if (!allocator.reserve(wanted - held)) throw RpcError.errno('ENOSPC');
          held = wanted;
          await makeThick(store, lvol);
        }),
      );
    } catch (error) {
      allocator.unreserve(held);
      throw error;
    }
  });
}

async function makeThick(store: LvolStore, lvol: Lvol): Promise<void> {
  const { external } = lvol;
  await store.metadata.commit({
    putLvols: [lvol.toRecord({ isThin: false, parent: { kind: 'none' } })],
    apply: () => {
      store.disconnect(lvol, external);
      lvol.rebase(undefined, undefined);
      lvol.isThin = false;
    },
  });
}

interface NewParent {
  readonly parent?: Lvol | undefined;
  readonly externalUuid?: string | undefined;
}

/** Within the store's turn: changes what lies beneath, with changes of the lvol's own table if need be. */
async function rebase(
  store: LvolStore,
  lvol: Lvol,
  { parent, externalUuid }: NewParent,
  entries: () => readonly EntryChange[] = () => [],
): Promise<void> {
  const before = lvol.external;
  const external = externalUuid === undefined ? undefined : store.claimExternal(lvol, externalUuid);
  try {
    await whileWritesSettled(store, lvol, () =>
      store.metadata.commit({
        putLvols: [lvol.toRecord({ parent: parentRecord(parent, external) })],
        entries: entries(),
        apply: () => {
          store.disconnect(lvol, before);
          lvol.rebase(parent, external);
        },
      }),
    );
  } catch (error) {
    store.disconnect(lvol, external);
    throw error;
  }
  store.showAll();
}

function parentRecord(
  parent: Lvol | undefined,
  external: ExternalParent | undefined,
): ParentRecord {
  if (parent !== undefined) return { kind: 'lvol', uuid: parent.uuid };
  return external === undefined ? { kind: 'none' } : { kind: 'bdev', uuid: external.uuid };
}

/** The parent as it matters to a child that has its own copy of all that the parent owns. */
function emptied(parent: Lvol): Lvol {
  const table = new ClusterTable(parent.table.blobId);
  for (const [cluster, entry] of parent.table.entries()) {
    if (entry === ZEROED) table.set(cluster, entry);
  }
  const view = new Lvol({ ...parent.toRecord(), table });
  view.parent = parent.parent;
  view.external = parent.external;
  return view;
}

/** Runs `work` when what the lvol has of its own is safe: what lies beneath it may be replaced then. */
async function whileWritesSettled(
  store: LvolStore,
  lvol: Lvol,
  work: () => Promise<void>,
): Promise<void> {
  await lvol.writes.close();
  try {
    await store.io.settle();
    await work();
  } finally {
    lvol.writes.open();
  }
}

async function whileBusy(store: LvolStore, lvol: Lvol, work: () => Promise<void>): Promise<void> {
  await store.exclusively(async () => {
    checkPresent(store, lvol);
    checkIdle(lvol);
    lvol.isBusy = true;
  });
  try {
    await work();
  } catch (error) {
    throw asRpcError(error);
  } finally {
    lvol.isBusy = false;
  }
}

/** True when `below` is the lvol or an ancestor of it. */
function isAbove(lvol: Lvol, below: Lvol): boolean {
  for (let at: Lvol | undefined = lvol; at !== undefined; at = at.parent) {
    if (at === below) return true;
  }
  return false;
}
