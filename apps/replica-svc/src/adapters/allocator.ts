import {
  type AllocationRecord,
  BUCKETS,
  type Placement,
  type PromisedReplica,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import { type Clock, delay, newInstanceId } from '@lariat/kernel';
import { RecordBucket } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import { type DiskState, disksOf, freeBytes, scheduledBytesOf } from '../domain/disk-state.js';
import type { Promised } from '../domain/node-view.js';
import type { PlaceRequest } from '../domain/place.js';
import {
  type ImageCopyPromise,
  isMissing,
  withImageCopy,
  withRestored,
  withoutImageCopies,
  withoutImageCopy,
  withoutPromises,
} from '../domain/promises.js';
import {
  ACTOR,
  AllocationIndex,
  type AllocationRecords,
  type NodeList,
  changeAllocation,
  refreshAllocations,
  takeBack,
} from './allocation-records.js';
import { growPromises, lackingForGrowth } from './grow-promises.js';
import { MOST_EVICTIONS, NO_ROOM_MADE, type RoomMaker } from './make-room.js';
import { PlaceBatches } from './place-batches.js';
import type { VolumeView } from './volume-view.js';
import { LEASE_MS, type LeaseHolder, settleLeases } from './settle-leases.js';

const NO_ROOM_MAKER: Pick<RoomMaker, 'forRequest' | 'onDisks'> = {
  forRequest: () => Promise.resolve(NO_ROOM_MADE),
  onDisks: () => Promise.resolve(NO_ROOM_MADE),
};

/** Of unequal length, so that those who lacked what the other had don't meet again. */
const shortPause = (): Promise<void> => delay(25 + 50 * Math.random());

/**
 * What placement has promised on each disk: one record a disk, changed by compare-and-set, so that concurrent
 * creates can't overbook it.
 */
export class Allocator {
  private readonly index: AllocationIndex;
  private readonly batches: PlaceBatches;

  constructor(
    private readonly records: AllocationRecords,
    private readonly nodes: NodeList,
    private readonly clock: Pick<Clock, 'nowMs'>,
    volumes: Pick<VolumeView, 'cached'> = { cached: () => undefined },
    private readonly room: Pick<RoomMaker, 'forRequest' | 'onDisks'> = NO_ROOM_MAKER,
    pause: () => Promise<void> = shortPause,
  ) {
    this.index = new AllocationIndex(records);
    const { index } = this;
    this.batches = new PlaceBatches({ records, index, nodes, clock, volumes, room, pause });
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
    return this.batches.reserve(request);
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
    await takeBack(this.records, this.index, replicas, () => true);
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
      else await changeAllocation(this.records, disk, restore);
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
    await changeAllocation(this.records, disk, (record) =>
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
        else await changeAllocation(this.records, disk, promise);
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
    await changeAllocation(this.records, disk, (record) => withoutImageCopy(record, image));
  }

  /** Ends what is promised to copies on a disk that is gone; who was about to make one there is refused by its node. */
  async releaseImageCopies(disk: string): Promise<void> {
    await this.records.read(disk);
    await changeAllocation(this.records, disk, withoutImageCopies);
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

  /** Placed by another instance a moment ago: its write may not have come to this one's watch yet. */
  private async refreshFor(replicas: readonly string[]): Promise<void> {
    if (replicas.some((replica) => this.index.disksOf(replica).length === 0)) await this.refresh();
  }

  private async refresh(): Promise<void> {
    await refreshAllocations(this.records, this.nodes);
  }
}

function diskNotFound(node: string, disk: string): Error {
  return lariatError('DISK_NOT_FOUND', `Node '${node}' has no disk '${disk}'.`, { node, disk });
}
