import {
  type AllocationRecord,
  BUCKETS,
  type NodeRecord,
  type Placement,
  type PromisedReplica,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import { type Clock, newInstanceId } from '@lariat/kernel';
import { RecordBucket } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import { type BatchDecision, decideBatch } from '../domain/decide-batch.js';
import { type DiskState, disksOf, freeBytes, scheduledBytesOf } from '../domain/disk-state.js';
import type { Promised } from '../domain/node-view.js';
import { type PlaceRequest, place, placementError } from '../domain/place.js';
import { withHeldByImages } from '../domain/plan-eviction.js';
import {
  type ImageCopyPromise,
  isMissing,
  settledOn,
  withImageCopy,
  withRestored,
  withoutImageCopies,
  withoutImageCopy,
  withoutLeases,
  withoutPromises,
} from '../domain/promises.js';
import { AllocationIndex, type AllocationRecords } from './allocation-records.js';
import { growPromises, lackingForGrowth } from './grow-promises.js';
import { NO_ROOM_MADE, type RoomMaker } from './make-room.js';
import type { VolumeView } from './volume-view.js';
import { LEASE_MS, type LeaseHolder, settleLeases } from './settle-leases.js';

const ACTOR = 'replica-svc';
/** Others may take what was freed for one; then it is told that there is no room. */
const MOST_EVICTIONS = 5;
const NO_ROOM_MAKER: Pick<RoomMaker, 'forRequest' | 'onDisks'> = {
  forRequest: () => Promise.resolve(NO_ROOM_MADE),
  onDisks: () => Promise.resolve(NO_ROOM_MADE),
};

interface Pending {
  readonly request: PlaceRequest;
  /** Tells this request's promises from those of another one for the same replicas. */
  readonly token: string;
  /** What it has promised so far, to be taken back when it fails. */
  readonly made: Set<string>;
  /** How often room was made for it. */
  evictions: number;
  readonly resolve: (placements: readonly Placement[]) => void;
  readonly reject: (reason: unknown) => void;
}

/** What the allocator asks of the nodes' records. */
export interface NodeList {
  list(): readonly NodeRecord[];
}

/**
 * What placement has promised on each disk: one record a disk, changed by compare-and-set, so that concurrent
 * creates can't overbook it. Requests that come while a write is under way are placed together in the next
 * one: a group commit. A request gets all of its places or none.
 */
export class Allocator {
  private readonly index: AllocationIndex;
  private pending: Pending[] = [];
  private committing = false;

  constructor(
    private readonly records: AllocationRecords,
    private readonly nodes: NodeList,
    private readonly clock: Pick<Clock, 'nowMs'>,
    private readonly volumes: Pick<VolumeView, 'cached'> = { cached: () => undefined },
    private readonly room: Pick<RoomMaker, 'forRequest' | 'onDisks'> = NO_ROOM_MAKER,
  ) {
    this.index = new AllocationIndex(records);
  }

  static async open(
    connection: NatsConnection,
    nodes: NodeList,
    clock: Clock,
    volumes?: Pick<VolumeView, 'cached'>,
    room?: RoomMaker,
  ): Promise<Allocator> {
    const records = await RecordBucket.open<AllocationRecord>({
      connection,
      bucket: BUCKETS.allocations,
      kind: 'disk',
      nowMs: () => clock.nowMs(),
    });
    return new Allocator(records, nodes, clock, volumes, room);
  }

  /** Places and promises; the same ids again give the same places. */
  reserve(request: PlaceRequest): Promise<readonly Placement[]> {
    return new Promise((resolve, reject) => {
      const token = newInstanceId();
      this.enqueue({ request, token, made: new Set(), evictions: 0, resolve, reject });
    });
  }

  private enqueue(pending: Pending): void {
    this.pending.push(pending);
    if (!this.committing) void this.commitPending();
  }

  /** Changes what is promised to replicas that are placed: all of them or none. */
  async grow(replicas: readonly string[], sizeBytes: number): Promise<void> {
    const growth = { replicas, sizeBytes };
    await this.whileRoomIsMade(
      async () => {
        // A write whose answer was lost may not be in the cache: an undo must not take it for never made.
        await this.refresh();
        await growPromises(this.records, this.index, this.disks(), growth, ACTOR);
      },
      () => lackingForGrowth(this.disks(), growth),
    );
  }

  /** Once more after each time that copies of images gave the room which the work did not find. */
  private async whileRoomIsMade(
    work: () => Promise<void>,
    lackingBytes: () => ReadonlyMap<string, number>,
    exceptImage?: string,
  ): Promise<void> {
    for (let evictions = 0; ;) {
      try {
        return await work();
      } catch (error) {
        if (!hasCode(error, 'NO_CAPACITY') || evictions >= MOST_EVICTIONS) throw error;
        const { isMade, isForOther } = await this.room.onDisks(lackingBytes(), exceptImage);
        if (!isMade) throw error;
        if (!isForOther) evictions += 1;
      }
    }
  }

  /** Gives back what is promised to the replicas; those that have nothing are fine. */
  async release(replicas: readonly string[]): Promise<void> {
    await this.refreshFor(replicas);
    await this.takeBack(replicas, () => true);
  }

  /** Promises what replicas have already; answers how many had no promise as large. */
  async restore(replicas: readonly PromisedReplica[], dryRun: boolean): Promise<number> {
    const expiresAtMs = this.clock.nowMs() + LEASE_MS;
    const token = newInstanceId();
    let restored = 0;
    for (const disk of new Set(replicas.map((replica) => replica.disk))) {
      const mine = replicas.filter((replica) => replica.disk === disk);
      const promises = mine.map(({ replica, volume, sizeBytes }) => ({
        replica,
        sizeBytes,
        lease: { volume, token, expiresAtMs },
      }));
      const known = await this.records.read(disk);
      const before = known?.value ?? { disk, node: mine[0]?.node ?? '', replicas: {} };
      const missing = promises.filter((promise) => isMissing(before, promise));
      restored += missing.length;
      if (dryRun || missing.length === 0) continue;
      const restore = (record: AllocationRecord): AllocationRecord =>
        withRestored(record, promises);
      if (known === undefined) await this.records.create(disk, restore(before), [], ACTOR);
      else await this.changeRecord(disk, restore);
    }
    return restored;
  }

  /** The same for copies of images. One on a disk that is not on record waits for its node, and is looked after then. */
  async restoreImageCopies(copies: readonly ImageCopyPromise[], dryRun: boolean): Promise<number> {
    const disks = new Set(this.disks().map(({ disk }) => disk));
    let restored = 0;
    for (const copy of copies.filter(({ disk }) => disks.has(disk))) {
      const { images = {} } = (await this.records.read(copy.disk))?.value ?? {};
      if ((images[copy.image] ?? 0) >= copy.sizeBytes) continue;
      restored += 1;
      if (!dryRun) await this.promiseImageCopy(copy, { isThere: true });
    }
    return restored;
  }

  /** Ends or settles the leases that have run out, as `holderOf` finds the volumes. */
  async settleLeases(holderOf: LeaseHolder): Promise<readonly string[]> {
    return settleLeases(this.records, this.index.list(), holderOf, this.clock.nowMs(), ACTOR);
  }

  /** What is promised on each disk, as the cache last heard of it. */
  list(): readonly AllocationRecord[] {
    return this.index.list();
  }

  /** Ends a promise that stands for good; one that a request has put under a lease since is another one. */
  async drop(disk: string, replica: string): Promise<void> {
    await this.changeRecord(disk, (record) =>
      withoutPromises(record, [replica], (lease) => lease === undefined),
    );
  }

  /** Room for a copy of an image; with `isThere` it is on the disk already, whether it fits or not. */
  async promiseImageCopy(
    { image, node, disk, sizeBytes }: ImageCopyPromise,
    { isThere = false } = {},
  ): Promise<void> {
    const stateOf = (): DiskState => {
      const found = this.disks().find((state) => state.disk === disk);
      if (found === undefined) throw diskNotFound(node, disk);
      return found;
    };
    await this.whileRoomIsMade(
      async () => {
        const known = await this.records.read(disk);
        const limitBytes = stateOf().allocatableBytes;
        const promise = (record: AllocationRecord): AllocationRecord =>
          withImageCopy(record, { image, sizeBytes }, limitBytes, isThere);
        if (known === undefined)
          await this.records.create(disk, promise({ disk, node, replicas: {} }), [], ACTOR);
        else await this.changeRecord(disk, promise);
      },
      () => {
        const hasBytes = this.index.recordOf(disk)?.images?.[image] ?? 0;
        return new Map([[disk, sizeBytes - hasBytes - freeBytes(stateOf())]]);
      },
      image,
    );
  }

  async releaseImageCopy({ image, disk }: Pick<ImageCopyPromise, 'image' | 'disk'>): Promise<void> {
    await this.records.read(disk);
    await this.changeRecord(disk, (record) => withoutImageCopy(record, image));
  }

  /** Ends what is promised to copies on a disk that is gone; who was about to make one there is refused by its node. */
  async releaseImageCopies(disk: string): Promise<void> {
    await this.records.read(disk);
    await this.changeRecord(disk, withoutImageCopies);
  }

  private async changeRecord(
    disk: string,
    change: (record: AllocationRecord) => AllocationRecord,
  ): Promise<void> {
    await this.records.change(
      disk,
      (record) => {
        const value = change(record);
        return value === record ? undefined : { value, events: [] };
      },
      ACTOR,
    );
  }

  replicasOn(disk: string): readonly string[] {
    return Object.keys(this.index.recordOf(disk)?.replicas ?? {});
  }

  promisedOn(disk: string): Promised {
    const { replicas = {}, images = {} } = this.index.recordOf(disk) ?? {};
    return {
      scheduledBytes: scheduledBytesOf({ replicas, images }),
      replicas: Object.keys(replicas).length,
      images: Object.keys(images).length,
    };
  }

  /** All disks with their promises, as of now. */
  disks(): readonly DiskState[] {
    return this.nodes.list().flatMap((node) => disksOf(node, (disk) => this.index.recordOf(disk)));
  }

  private async commitPending(): Promise<void> {
    this.committing = true;
    try {
      while (this.pending.length > 0) {
        // Another instance may have promised the same replicas just now, and the watch not told it yet.
        const failure = await this.refresh().then(
          () => undefined,
          (error: unknown) => ({ error }),
        );
        const batch = this.pending;
        this.pending = [];
        if (failure === undefined) await this.commit(batch);
        else await Promise.all(batch.map((pending) => this.fail(pending, failure.error)));
      }
    } finally {
      this.committing = false;
    }
  }

  /** Decides the whole batch on one view of the disks, then writes each touched disk once. */
  private async commit(batch: readonly Pending[]): Promise<void> {
    const expiresAtMs = this.clock.nowMs() + LEASE_MS;
    const entries = batch.map(({ request, token }) => ({
      request,
      lease: { volume: request.volume, token, expiresAtMs },
    }));
    const { decisions, writes } = decideBatch(entries, this.nodes.list(), (disk) =>
      this.index.recordOf(disk),
    );
    const failures = new Map<string, unknown>();
    await Promise.all(
      Array.from(writes, ([disk, record]) =>
        this.write(disk, this.withoutSettled(record)).catch((error: unknown) =>
          failures.set(disk, error),
        ),
      ),
    );
    await Promise.all(
      decisions.map(async (decision, at) => {
        const pending = batch[at];
        if (pending !== undefined) await this.conclude(pending, decision, failures);
      }),
    );
  }

  /** On the way of another write, and without a question: a disk's record stays small while many volumes are made. */
  private withoutSettled(record: AllocationRecord): AllocationRecord {
    return withoutLeases(
      record,
      settledOn(record, (volume) => this.volumes.cached(volume)),
    );
  }

  private async conclude(
    pending: Pending,
    decision: BatchDecision,
    failures: ReadonlyMap<string, unknown>,
  ): Promise<void> {
    if (!decision.placed) {
      // Not waited for: no other request waits until nodes have deleted something.
      void this.refuse(pending, decision);
      return;
    }
    const errors = decision.placements.flatMap(({ disk }) =>
      failures.has(disk) ? [failures.get(disk)] : [],
    );
    if (errors.length === 0) return pending.resolve(decision.placements);
    for (const { replica } of decision.adopted) pending.made.delete(replica);
    // A write that lost a race was not made; one whose answer was lost may have been.
    for (const { replica, disk } of decision.fresh)
      if (!hasCode(failures.get(disk), 'REVISION_CONFLICT')) pending.made.add(replica);
    const lasting = errors.filter((error) => !hasCode(error, 'REVISION_CONFLICT'));
    if (lasting.length > 0) return this.fail(pending, lasting[0]);
    // Another instance wrote the disk at the same moment: decide again on what it left.
    this.pending.push(pending);
  }

  /** Copies of images that nobody uses are no reason to refuse: they go first, and it is tried again. */
  private async refuse(
    pending: Pending,
    decision: Extract<BatchDecision, { placed: false }>,
  ): Promise<void> {
    const { request, evictions } = pending;
    if (decision.code !== 'NO_CAPACITY' || evictions >= MOST_EVICTIONS)
      return this.fail(pending, placementError(decision));
    const { isMade, isForOther, idle } = await this.room.forRequest(request, () => this.disks());
    if (!isForOther) pending.evictions += 1;
    if (isMade) return this.enqueue(pending);
    const told = idle === null ? decision : place(request, withHeldByImages(this.disks(), idle));
    // Room that came free in the meantime.
    if (told.placed) return this.enqueue(pending);
    return this.fail(pending, placementError(told));
  }

  /** Nothing is left of a request that failed: what it had promised so far goes back first. */
  private async fail(pending: Pending, reason: unknown): Promise<void> {
    if (pending.made.size > 0) {
      const { token } = pending;
      await this.refresh()
        .then(() => this.takeBack([...pending.made], (lease) => lease === token))
        // With NATS away the caller's own undo comes later, and after that the end of the lease.
        .catch(() => undefined);
    }
    pending.reject(reason);
  }

  /** With the revision that the decision was made on: nothing awaited comes between. */
  private async write(disk: string, record: AllocationRecord): Promise<void> {
    const before = this.index.versionOf(disk);
    if (before === undefined) await this.records.create(disk, record, [], ACTOR);
    else await this.records.update(disk, before, record, [], ACTOR);
  }

  private async takeBack(
    replicas: readonly string[],
    isMine: (token: string | undefined) => boolean,
  ): Promise<void> {
    const disks = new Set(replicas.flatMap((replica) => this.index.disksOf(replica)));
    await Promise.all(
      Array.from(disks, (disk) =>
        this.changeRecord(disk, (record) =>
          withoutPromises(record, replicas, (lease) => isMine(lease?.token)),
        ),
      ),
    );
  }

  /** Placed by another instance a moment ago: its write may not have come to this one's watch yet. */
  private async refreshFor(replicas: readonly string[]): Promise<void> {
    if (replicas.some((replica) => this.index.disksOf(replica).length === 0)) await this.refresh();
  }

  private async refresh(): Promise<void> {
    const disks = this.nodes.list().flatMap((node) => node.disks.map(({ id }) => id));
    await Promise.all(disks.map((disk) => this.records.read(disk)));
  }
}

function diskNotFound(node: string, disk: string): Error {
  return lariatError('DISK_NOT_FOUND', `Node '${node}' has no disk '${disk}'.`, { node, disk });
}
