import { BlockIoError, BlockIoFailure } from '../block-device.js';
import { blockErrorOfStatus } from '../nvme/block-status.js';
import type { Completion } from '../nvme/entry.js';
import {
  describeStatus,
  isDoNotRetry,
  type NvmeStatus,
  Status,
  statusCode,
} from '../nvme/status.js';
import { NvmeCommandError } from './host-error.js';
import type { IoRequest } from './io-request.js';
import type { QueuePair } from './queue-pair.js';

/** Where requests go while the link is up. */
export interface IoLink {
  freeQueue(): QueuePair | undefined;
}

/** How long a request waits for an inaccessible namespace; undefined for ever. */
export type InaccessibleLimit = number | undefined;

/** Tries of a command that ended in a status that may pass; a digest that never matches must end some time. */
const RETRIES_MAX = 5;
/** An inaccessible namespace is tried again this often, should the event that tells of its return be lost. */
const INACCESSIBLE_POLL_MS = 100;

const COMMAND_INTERRUPTED: NvmeStatus = 0x21;
const PASSING: ReadonlySet<NvmeStatus> = new Set([
  Status.transientTransportError,
  Status.abortedSqDeletion,
  COMMAND_INTERRUPTED,
]);
const INACCESSIBLE: ReadonlySet<NvmeStatus> = new Set([
  Status.anaInaccessible,
  Status.anaTransition,
]);

/**
 * Holds a controller's I/O: queues it, sends it while the link is up, and sends again what was in flight when a
 * link broke. A write that is sent twice puts the same bytes in the same place.
 */
export class IoDispatcher {
  private readonly inaccessibleLimitMs: InaccessibleLimit;
  private readonly pending: IoRequest[] = [];
  /** In the order they were sent. */
  private readonly inFlight = new Set<IoRequest>();
  private inaccessible: IoRequest[] = [];
  private inaccessibleTimer: NodeJS.Timeout | undefined;
  private link: IoLink | undefined;
  /** Why new requests fail at once. */
  private refusal: { readonly message: string; readonly cause: unknown } | undefined;
  private closing = false;

  constructor(inaccessibleLimitMs: InaccessibleLimit) {
    this.inaccessibleLimitMs = inaccessibleLimitMs;
  }

  submit(request: IoRequest): Promise<void> {
    if (this.refusal !== undefined) {
      request.fail(new BlockIoError(BlockIoFailure.gone, this.refusal.message, this.refusal.cause));
    } else {
      this.pending.push(request);
      this.pump();
    }
    return request.done;
  }

  linkUp(link: IoLink): void {
    this.link = link;
    this.refusal = undefined;
    this.pump();
  }

  /** What was in flight is put before what waits, in its order; `lost` of each command has run or will run. */
  linkDown(): void {
    this.link = undefined;
    const broken = [...this.inFlight];
    this.inFlight.clear();
    this.pending.unshift(...broken.filter((request) => request.repeatable));
    for (const request of broken) {
      if (!request.repeatable)
        request.fail(
          new BlockIoError(
            BlockIoFailure.aborted,
            'the connection broke; it may have happened or not',
          ),
        );
    }
  }

  /** Fails all that waits, and from now on all that comes, until the link is up again. */
  refuse(message: string, cause?: unknown): void {
    this.refusal = { message, cause };
    const waiting = [...this.pending.splice(0), ...this.inaccessible.splice(0)];
    clearTimeout(this.inaccessibleTimer);
    this.inaccessibleTimer = undefined;
    for (const request of waiting)
      request.fail(new BlockIoError(BlockIoFailure.gone, message, cause));
  }

  /** Sends nothing more; requests in flight are failed by `endClose`, when they can no longer happen. */
  beginClose(message: string): void {
    this.closing = true;
    this.link = undefined;
    this.refuse(message);
  }

  endClose(message: string): void {
    for (const request of this.inFlight)
      request.fail(new BlockIoError(BlockIoFailure.aborted, message));
    this.inFlight.clear();
  }

  /** Something about the namespaces' accessibility has changed. */
  retryInaccessible(): void {
    clearTimeout(this.inaccessibleTimer);
    this.inaccessibleTimer = undefined;
    this.pending.push(...this.inaccessible.splice(0));
    this.pump();
  }

  private pump(): void {
    const { link } = this;
    if (link === undefined) return;
    let sent = 0;
    for (const request of this.pending) {
      const queue = link.freeQueue();
      if (queue === undefined) break;
      sent += 1;
      this.send(request, queue);
    }
    if (sent === this.pending.length) this.pending.length = 0;
    else if (sent > 0) this.pending.splice(0, sent);
  }

  private send(request: IoRequest, queue: QueuePair): void {
    this.inFlight.add(request);
    queue.submit({
      entry: request.entry,
      data: request.data,
      readInto: request.readInto,
      completed: (completion) => this.completed(request, completion),
      // linkDown puts it back into the queue, and endClose fails it.
      lost: () => undefined,
    });
  }

  private completed(request: IoRequest, completion: Completion): void {
    this.inFlight.delete(request);
    const { status } = completion;
    if (status === Status.success) request.succeed();
    else if (this.closing)
      request.fail(new BlockIoError(BlockIoFailure.aborted, 'the controller was closed'));
    else this.failed(request, status);
    this.pump();
  }

  private failed(request: IoRequest, status: NvmeStatus): void {
    const code = statusCode(status);
    if (!isDoNotRetry(status)) {
      if (PASSING.has(code) && request.retries < RETRIES_MAX) {
        request.retries += 1;
        this.pending.push(request);
        return;
      }
      if (INACCESSIBLE.has(code) && this.mayWait(request)) {
        this.inaccessible.push(request);
        this.inaccessibleTimer ??= setTimeout(() => this.retryInaccessible(), INACCESSIBLE_POLL_MS);
        return;
      }
    }
    request.fail(
      blockErrorOfStatus(
        status,
        `the target answered ${describeStatus(status)}`,
        new NvmeCommandError('the command', status, 0),
      ),
    );
  }

  private mayWait(request: IoRequest): boolean {
    if (this.inaccessibleLimitMs === undefined) return true;
    request.inaccessibleSinceMs ??= performance.now();
    return performance.now() - request.inaccessibleSinceMs < this.inaccessibleLimitMs;
  }
}
