import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { cancelled } from '../domain/cancelled.js';
import { isZero } from '../domain/cluster-digest.js';
import type { Slot, SlotPool } from '../domain/slot-pool.js';
import type { ContentSink } from '../ports/content-sink.port.js';
import type { DigestLog } from '../ports/digest-log.port.js';
import type { Hashing, RunningSums } from '../ports/hashing.port.js';
import type { Piece } from './content-pieces.js';

export interface ContentPassTask {
  /** Ends when the given signal aborts. */
  readonly pieces: (signal: AbortSignal) => AsyncIterable<Piece>;
  readonly pool: SlotPool;
  readonly sink: Pick<ContentSink, 'writeCluster' | 'close'>;
  readonly hashing: Hashing;
  /** Of the whole content; null: not taken. */
  readonly sums: RunningSums | null;
  /** Of the clusters; null: had already. */
  readonly digests: DigestLog | null;
  readonly signal: AbortSignal;
  /** Throws to end the pass, when more comes than may. */
  readonly onBytes: (doneBytes: number) => void;
}

export interface PassedContent {
  readonly sizeBytes: number;
  /** Clusters that are not all zeros: those that the sink was given. */
  readonly dataClusters: number;
}

/** Takes content once by everything that needs it: the sums, the digests, the sink; clusters of zeros by no sink. */
export async function passContent(task: ContentPassTask): Promise<PassedContent> {
  const pass = new ContentPass(task);
  return pass.run();
}

class ContentPass {
  private readonly stop = new AbortController();
  private readonly stopped = new Promise<void>((resolve) => {
    this.stop.signal.addEventListener('abort', () => resolve());
  });
  private readonly under = new Set<Promise<void>>();
  /** Digests come in any order, and are logged in that of the clusters. */
  private logged: Promise<void> = Promise.resolve();
  private failure: { readonly reason: unknown } | null = null;
  private doneBytes = 0;
  private dataClusters = 0;

  constructor(private readonly task: ContentPassTask) {}

  async run(): Promise<PassedContent> {
    const { signal } = this.task;
    const cancel = (): void => this.fail(cancelled(signal));
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel);
    try {
      await this.takeAll();
    } catch (reason) {
      this.fail(reason);
    } finally {
      // Also after a failure: nothing may read a slot, or write to the sink, once this has ended.
      while (this.under.size > 0) await Promise.allSettled(this.under);
      signal.removeEventListener('abort', cancel);
    }
    if (this.failure !== null) throw this.failure.reason;
    return { sizeBytes: this.doneBytes, dataClusters: this.dataClusters };
  }

  private async takeAll(): Promise<void> {
    for await (const piece of this.task.pieces(this.stop.signal)) {
      if (this.failure !== null) return;
      if (piece.kind === 'hole') await this.takeHole(piece.lengthBytes);
      else this.takeData(piece.slot, piece.lengthBytes);
      this.doneBytes += piece.lengthBytes;
      this.task.onBytes(this.doneBytes);
    }
  }

  private async takeHole(lengthBytes: number): Promise<void> {
    const { sums, digests } = this.task;
    this.log(() => digests?.addZeros(Math.ceil(lengthBytes / CLUSTER_SIZE_BYTES)));
    // Waited for, as no slot holds it back; but not beyond a failure, for zeros can take hours.
    const hashed = sums?.zeros(lengthBytes) ?? Promise.resolve();
    await Promise.race([hashed, this.stopped]);
  }

  private takeData(slot: Slot, lengthBytes: number): void {
    const { pool, sink, sums, digests } = this.task;
    if (isZero(slot.bytes.subarray(0, lengthBytes))) {
      this.log(() => digests?.addZeros(1));
      const hashed = sums?.update(slot, lengthBytes) ?? Promise.resolve();
      return this.track(hashed.then(() => pool.release(slot)));
    }
    // What follows the last byte in its cluster is the slot's last content, if it is not made zero.
    slot.bytes.fill(0, lengthBytes);
    const cluster = this.doneBytes / CLUSTER_SIZE_BYTES;
    this.dataClusters += 1;
    const written = sink.writeCluster(cluster, slot.bytes);
    const hashed = this.hash(slot, lengthBytes);
    this.track(
      allDone(hashed === undefined ? [written] : [written, hashed]).then(() => pool.release(slot)),
    );
  }

  private hash(slot: Slot, lengthBytes: number): Promise<unknown> | undefined {
    const { sums, hashing, digests } = this.task;
    if (digests === null) return sums?.update(slot, lengthBytes);
    const digest = sums?.updateCluster(slot, lengthBytes) ?? hashing.digest(slot);
    this.log(async () => digests.add(await digest));
    return digest;
  }

  private log(step: () => Promise<void> | undefined): void {
    this.logged = this.logged.then(step);
    this.track(this.logged);
  }

  private track(work: Promise<void>): void {
    const tracked = work
      .catch((reason: unknown) => this.fail(reason))
      .finally(() => this.under.delete(tracked));
    this.under.add(tracked);
  }

  private fail(reason: unknown): void {
    if (this.failure !== null) return;
    this.failure = { reason };
    this.stop.abort(reason);
    // A write that waits for a lost path would keep a cancel waiting as long; whoever opened it closes it again.
    this.task.sink.close().catch(() => undefined);
  }
}

/** Not Promise.all: the slot is in use until the last of them has ended. */
async function allDone(works: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(works))
    if (outcome.status === 'rejected') throw outcome.reason;
}
