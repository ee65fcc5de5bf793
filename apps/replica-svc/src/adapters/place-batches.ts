import { type AllocationRecord, type Placement, hasCode } from '@lariat/contracts';
import { type Clock, newInstanceId } from '@lariat/kernel';
import { type BatchDecision, decideBatch } from '../domain/decide-batch.js';
import { type DiskState, disksOf } from '../domain/disk-state.js';
import { type PlaceRequest, place, placementError } from '../domain/place.js';
import { withHeldByImages } from '../domain/plan-eviction.js';
import { settledOn, withoutLeases } from '../domain/promises.js';
import { withoutUnfinished } from '../domain/unfinished.js';
import {
  ACTOR,
  type AllocationIndex,
  type AllocationRecords,
  type NodeList,
  refreshAllocations,
  takeBack,
} from './allocation-records.js';
import { MOST_EVICTIONS, type RoomMaker } from './make-room.js';
import { LEASE_MS } from './settle-leases.js';
import type { VolumeView } from './volume-view.js';

/**
 * How often a request waits for others that have some of their places only: some two seconds in all. They finish within
 * milliseconds, unless their service has died; then their lease has to end first.
 */
const MOST_WAITS = 40;

interface Pending {
  readonly request: PlaceRequest;
  /** Tells this request's promises from those of another one for the same replicas. */
  readonly token: string;
  /** What it has promised so far, to be taken back when it fails. */
  readonly made: Set<string>;
  /** How often room was made for it. */
  evictions: number;
  /** How often it has waited for others to finish. */
  waits: number;
  readonly resolve: (placements: readonly Placement[]) => void;
  readonly reject: (reason: unknown) => void;
}

export interface PlaceBatchesOptions {
  readonly records: AllocationRecords;
  readonly index: AllocationIndex;
  readonly nodes: NodeList;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly volumes: Pick<VolumeView, 'cached'>;
  readonly room: Pick<RoomMaker, 'forRequest'>;
  /** Between two tries of a request that lacks what others may give back. */
  readonly pause: () => Promise<void>;
}

/**
 * Requests that come while a write is under way are placed together in the next one: a group commit. A request gets
 * all of its places or none.
 */
export class PlaceBatches {
  private pending: Pending[] = [];
  private committing = false;

  constructor(private readonly options: PlaceBatchesOptions) {}

  /** Places and promises; the same ids again give the same places. */
  reserve(request: PlaceRequest): Promise<readonly Placement[]> {
    return new Promise((resolve, reject) => {
      const token = newInstanceId();
      this.enqueue({ request, token, made: new Set(), evictions: 0, waits: 0, resolve, reject });
    });
  }

  private enqueue(pending: Pending): void {
    this.pending.push(pending);
    if (!this.committing) void this.commitPending();
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
    const { clock, nodes, index } = this.options;
    const expiresAtMs = clock.nowMs() + LEASE_MS;
    const entries = batch.map(({ request, token }) => ({
      request,
      lease: { volume: request.volume, token, expiresAtMs },
    }));
    const { decisions, writes } = decideBatch(entries, nodes.list(), (disk) =>
      index.recordOf(disk),
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
      settledOn(record, (volume) => this.options.volumes.cached(volume)),
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

  /**
   * What others may give back yet is no reason to refuse, nor are copies of images that nobody uses: these go, and it is
   * tried again.
   */
  private async refuse(
    pending: Pending,
    decision: Extract<BatchDecision, { placed: false }>,
  ): Promise<void> {
    const { request, evictions, waits } = pending;
    if (decision.code !== 'NO_CAPACITY') return this.fail(pending, placementError(decision));
    if (waits < MOST_WAITS && this.fitsWithoutUnfinished(request)) {
      pending.waits += 1;
      // Who waits holds nothing, so no two wait for each other. What can't be given back now is when it fails.
      await this.giveBack(pending).catch(() => undefined);
      await this.options.pause();
      return this.enqueue(pending);
    }
    if (evictions >= MOST_EVICTIONS) return this.fail(pending, placementError(decision));
    const { isMade, isForOther, idle } = await this.options.room.forRequest(request, () =>
      this.disks(),
    );
    if (!isForOther) pending.evictions += 1;
    if (isMade) return this.enqueue(pending);
    const told = idle === null ? decision : place(request, withHeldByImages(this.disks(), idle));
    // Room that came free in the meantime.
    if (told.placed) return this.enqueue(pending);
    return this.fail(pending, placementError(told));
  }

  private fitsWithoutUnfinished(request: PlaceRequest): boolean {
    const records = this.options.index.list().map((record) => this.withoutSettled(record));
    const others = new Map(withoutUnfinished(records).map((record) => [record.disk, record]));
    const disks = this.disks((disk) => others.get(disk));
    return place(request, disks).placed;
  }

  /** Nothing is left of a request that failed: what it had promised so far goes back first. */
  private async fail(pending: Pending, reason: unknown): Promise<void> {
    // With NATS away the caller's own undo comes later, and after that the end of the lease.
    await this.giveBack(pending).catch(() => undefined);
    pending.reject(reason);
  }

  private async giveBack({ made, token }: Pending): Promise<void> {
    if (made.size === 0) return;
    const { records, index } = this.options;
    await this.refresh();
    await takeBack(records, index, [...made], (lease) => lease === token);
    made.clear();
  }

  /** With the revision that the decision was made on: nothing awaited comes between. */
  private async write(disk: string, record: AllocationRecord): Promise<void> {
    const { records, index } = this.options;
    const before = index.versionOf(disk);
    if (before === undefined) await records.create(disk, record, [], ACTOR);
    else await records.update(disk, before, record, [], ACTOR);
  }

  private disks(
    recordOf = (disk: string): AllocationRecord | undefined => this.options.index.recordOf(disk),
  ): readonly DiskState[] {
    return this.options.nodes.list().flatMap((node) => disksOf(node, recordOf));
  }

  private async refresh(): Promise<void> {
    await refreshAllocations(this.options.records, this.options.nodes);
  }
}
