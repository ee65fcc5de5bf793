import {
  type AllocationRecord,
  BUCKETS,
  type NodeRecord,
  type Placement,
  lariatError,
} from '@lariat/contracts';
import { type Clock, formatBytes } from '@lariat/kernel';
import { RecordBucket } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import { type DiskState, type PlaceRequest, place } from '../domain/place.js';
import type { NodeStore } from './node-store.js';

interface Pending {
  readonly request: PlaceRequest;
  readonly resolve: (placements: readonly Placement[]) => void;
  readonly reject: (reason: unknown) => void;
}

type Promises = ReadonlyMap<string, number>;

const ACTOR = 'replica-svc';

/**
 * What placement has promised on each disk: one record a disk, changed by compare-and-set, so that concurrent
 * creates can't overbook it. Requests that come while a write is under way are placed together in the next
 * one: a group commit.
 */
export class Allocator {
  private readonly promisedByDisk = new Map<
    string,
    { promises: Map<string, number>; scheduledBytes: number }
  >();
  private readonly diskByReplica = new Map<string, string>();
  private pending: Pending[] = [];
  private committing = false;

  private constructor(
    private readonly records: RecordBucket<AllocationRecord>,
    private readonly nodes: NodeStore,
  ) {
    for (const [disk, { value }] of records.cachedEntries()) this.index(disk, value);
    records.listen((disk, record) => this.index(disk, record));
  }

  static async open(
    connection: NatsConnection,
    nodes: NodeStore,
    clock: Clock,
  ): Promise<Allocator> {
    const records = await RecordBucket.open<AllocationRecord>({
      connection,
      bucket: BUCKETS.allocations,
      kind: 'disk',
      nowMs: () => clock.nowMs(),
    });
    return new Allocator(records, nodes);
  }

  /** Places and promises; the same ids again give the same places. */
  reserve(request: PlaceRequest): Promise<readonly Placement[]> {
    return new Promise((resolve, reject) => {
      this.pending.push({ request, resolve, reject });
      if (!this.committing) void this.commitPending();
    });
  }

  /** Changes what is promised to replicas that are placed, all of them or none. */
  async grow(replicas: readonly string[], sizeBytes: number): Promise<void> {
    for (const disk of this.disks()) {
      const mine = replicas.filter((replica) => disk.replicas.has(replica));
      const moreBytes = mine.reduce(
        (sum, replica) => sum + sizeBytes - (disk.replicas.get(replica) ?? 0),
        0,
      );
      if (moreBytes > disk.capacityBytes - disk.scheduledBytes) {
        throw lariatError(
          'NO_CAPACITY',
          `Disk ${disk.disk} on node '${disk.node}' has ${formatBytes(disk.capacityBytes - disk.scheduledBytes)} left; ${formatBytes(moreBytes)} more are needed.`,
          { disk: disk.disk, node: disk.node },
        );
      }
    }
    const capacities = new Map(
      this.disks().map(({ disk, capacityBytes }) => [disk, capacityBytes]),
    );
    await this.changeDisks(replicas, (promises, replica, disk) => {
      const before = promises.get(replica) ?? 0;
      promises.set(replica, sizeBytes);
      const sum = [...promises.values()].reduce((total, bytes) => total + bytes, 0);
      // On the very record that is written: the look above may have been overtaken. Shrinking back always fits.
      if (sizeBytes > before && sum > (capacities.get(disk) ?? 0)) {
        throw lariatError(
          'NO_CAPACITY',
          `Disk ${disk} was filled by somebody else at the same moment.`,
          { disk },
        );
      }
    });
  }

  async release(replicas: readonly string[]): Promise<void> {
    await this.changeDisks(replicas, (promises, replica) => promises.delete(replica));
  }

  promisesOf(disk: string): Promises {
    return this.promisedByDisk.get(disk)?.promises ?? new Map();
  }

  scheduledBytesOf(disk: string): number {
    return this.promisedByDisk.get(disk)?.scheduledBytes ?? 0;
  }

  /** All disks with their promises, as of now. */
  disks(): readonly DiskState[] {
    return this.nodes
      .list()
      .flatMap((node) =>
        node.disks.map((disk) => this.diskState(node, disk.id, disk.capacityBytes)),
      );
  }

  private diskState(node: NodeRecord, disk: string, capacityBytes: number): DiskState {
    return {
      disk,
      node: node.name,
      nodeReady: node.state === 'ready',
      schedulable: node.schedulable,
      capacityBytes,
      replicas: this.promisesOf(disk),
      scheduledBytes: this.scheduledBytesOf(disk),
    };
  }

  private async commitPending(): Promise<void> {
    this.committing = true;
    try {
      while (this.pending.length > 0) {
        const batch = this.pending;
        this.pending = [];
        await this.commit(batch);
      }
    } finally {
      this.committing = false;
    }
  }

  /** Decides the whole batch on one view of the disks, then writes each touched disk once. */
  private async commit(batch: readonly Pending[]): Promise<void> {
    const view = new Map(
      this.disks().map((disk) => [disk.disk, { ...disk, replicas: new Map(disk.replicas) }]),
    );
    const decided: { pending: Pending; placements: readonly Placement[] }[] = [];
    const touched = new Set<string>();
    for (const pending of batch) {
      try {
        const placements = place(pending.request, [...view.values()]);
        for (const { replica, disk } of placements) {
          const state = view.get(disk);
          if (state === undefined || state.replicas.has(replica)) continue;
          state.replicas.set(replica, pending.request.sizeBytes);
          view.set(disk, {
            ...state,
            scheduledBytes: state.scheduledBytes + pending.request.sizeBytes,
          });
          touched.add(disk);
        }
        decided.push({ pending, placements });
      } catch (error) {
        pending.reject(error);
      }
    }
    const failures = new Map<string, unknown>();
    await Promise.all(
      [...touched].map(async (disk) => {
        const state = view.get(disk);
        if (state === undefined) return;
        await this.write(disk, state.node, state.replicas).catch((error: unknown) =>
          failures.set(disk, error),
        );
      }),
    );
    for (const { pending, placements } of decided) {
      const failed = placements.find(({ disk }) => failures.has(disk));
      if (failed === undefined) pending.resolve(placements);
      // Another instance wrote the disk at the same moment: decide again on what it left.
      else if (isConflict(failures.get(failed.disk))) this.pending.push(pending);
      else pending.reject(failures.get(failed.disk));
    }
  }

  private async write(disk: string, node: string, promises: Promises): Promise<void> {
    const current = this.records.cached(disk);
    const record = { disk, node, replicas: Object.fromEntries(promises) };
    try {
      if (current === undefined) await this.records.create(disk, record, [], ACTOR);
      else await this.records.update(disk, current, record, [], ACTOR);
    } catch (error) {
      await this.records.read(disk);
      throw error;
    }
  }

  private async changeDisks(
    replicas: readonly string[],
    change: (promises: Map<string, number>, replica: string, disk: string) => void,
  ): Promise<void> {
    // Placed by another instance a moment ago: its write may not have come to this one's watch yet.
    if (replicas.some((replica) => !this.diskByReplica.has(replica))) {
      await Promise.all(this.disks().map(({ disk }) => this.records.read(disk)));
    }
    const byDisk = new Map<string, string[]>();
    for (const replica of replicas) {
      const disk = this.diskByReplica.get(replica);
      if (disk !== undefined) byDisk.set(disk, [...(byDisk.get(disk) ?? []), replica]);
    }
    await Promise.all(
      Array.from(byDisk, ([disk, ids]) =>
        this.records.change(
          disk,
          (record) => {
            const promises = new Map(Object.entries(record.replicas));
            for (const id of ids) if (promises.has(id)) change(promises, id, disk);
            return { value: { ...record, replicas: Object.fromEntries(promises) }, events: [] };
          },
          ACTOR,
        ),
      ),
    );
  }

  private index(disk: string, record: AllocationRecord | null): void {
    for (const replica of this.promisesOf(disk).keys()) {
      if (record?.replicas[replica] === undefined) this.diskByReplica.delete(replica);
    }
    if (record === null) {
      this.promisedByDisk.delete(disk);
      return;
    }
    const promises = new Map(Object.entries(record.replicas));
    let scheduledBytes = 0;
    for (const [replica, sizeBytes] of promises) {
      scheduledBytes += sizeBytes;
      this.diskByReplica.set(replica, disk);
    }
    this.promisedByDisk.set(disk, { promises, scheduledBytes });
  }
}

const isConflict = (error: unknown): boolean =>
  typeof error === 'object' &&
  error !== null &&
  'code' in error &&
  error.code === 'REVISION_CONFLICT';
