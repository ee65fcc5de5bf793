import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { allocateAlignedShared } from '@lariat/nvme-tcp';
import { RpcError } from '../../rpc/rpc-error.js';
import type { DigestAnswer, DigestRequest } from './digest-worker.js';

/** Beside this file; a test runner that runs the sources takes the built one, as a thread cannot load TypeScript. */
const WORKER = new URL(
  import.meta.url
    .replace(/\/src\/bdev\/lvol\/[^/]+\.ts$/, '/dist/bdev/lvol/digest-worker.js')
    .replace(/\/digest-threads\.js$/, '/digest-worker.js'),
);

/** As fast as a disk reads; a target has other work for the machine's processors. */
const THREADS = Math.min(2, availableParallelism());
/** Threads and memory are given back when nobody has asked for so long. */
const IDLE_MS = 5_000;

/**
 * Digests of what is read, in threads that reads share their memory with: webcrypto would copy each cluster into memory
 * of its own, and wipe that afterwards.
 */
export class DigestThreads {
  private threads: readonly DigestThread[] = [];
  private readonly free: Buffer<SharedArrayBuffer>[] = [];
  private idleTimer: NodeJS.Timeout | undefined;
  private users = 0;

  /** SHA-256 of what `read` gives; it may put it into the memory that it is offered. */
  async digest(lengthBytes: number, read: (into: Buffer) => Promise<Buffer>): Promise<Buffer> {
    clearTimeout(this.idleTimer);
    this.users += 1;
    const known = this.free.pop();
    const memory = known?.length === lengthBytes ? known : allocateAlignedShared(lengthBytes);
    try {
      const data = await read(memory);
      if (data !== memory) data.copy(memory);
      return await this.leastBusy().digest(memory.buffer);
    } finally {
      this.free.push(memory);
      this.users -= 1;
      if (this.users === 0) this.idleTimer = setTimeout(() => this.rest(), IDLE_MS).unref();
    }
  }

  private leastBusy(): DigestThread {
    const living = this.threads.filter(({ hasEnded }) => !hasEnded);
    const [least] = living.toSorted((a, b) => a.waitingCount - b.waitingCount);
    if (least !== undefined && (least.waitingCount === 0 || living.length >= THREADS)) return least;
    const started = new DigestThread();
    this.threads = [...living, started];
    return started;
  }

  private rest(): void {
    for (const thread of this.threads) thread.end();
    this.threads = [];
    this.free.length = 0;
  }
}

interface Waiting {
  readonly resolve: (digest: Buffer) => void;
  readonly reject: (reason: unknown) => void;
}

class DigestThread {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private ended = false;

  constructor() {
    this.worker = new Worker(WORKER, {
      execArgv: [],
      // It has next to nothing on its heap, which would grow to what V8 thinks fit for the machine.
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 },
    });
    this.worker.on('message', ({ id, digest }: DigestAnswer) => {
      this.waiting.get(id)?.resolve(Buffer.from(digest));
      this.waiting.delete(id);
    });
    this.worker.on('error', (error) => this.lost(error.message));
    this.worker.on('exit', () => this.lost('it has ended'));
    // Who waits for it has a connection open; a thread at rest keeps no process from ending.
    this.worker.unref();
  }

  get hasEnded(): boolean {
    return this.ended;
  }

  get waitingCount(): number {
    return this.waiting.size;
  }

  digest(memory: SharedArrayBuffer): Promise<Buffer> {
    this.lastId += 1;
    const id = this.lastId;
    return new Promise<Buffer>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, memory } satisfies DigestRequest);
    });
  }

  end(): void {
    this.ended = true;
    void this.worker.terminate();
  }

  private lost(reason: string): void {
    this.ended = true;
    const error = RpcError.errno('EIO', `a thread that takes digests: ${reason}`);
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}
