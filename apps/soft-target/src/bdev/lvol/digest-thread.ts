import { Worker } from 'node:worker_threads';
import { allocateAlignedShared } from '@lariat/nvme-tcp';
import { RpcError } from '../../rpc/rpc-error.js';
import type { DigestAnswer, DigestRequest } from './digest-worker.js';

/** Beside this file; a test runner that runs the sources takes the built one, as a thread cannot load TypeScript. */
const WORKER = new URL(
  import.meta.url
    .replace(/\/src\/bdev\/lvol\/[^/]+\.ts$/, '/dist/bdev/lvol/digest-worker.js')
    .replace(/\/digest-thread\.js$/, '/digest-worker.js'),
);

/** The thread and the memory are given back when nobody has asked for so long. */
const IDLE_MS = 5_000;

interface Waiting {
  readonly resolve: (digest: Buffer) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Digests of what is read, in a thread that reads see their memory shared with: webcrypto would copy each cluster into
 * memory of its own, and wipe that afterwards.
 */
export class DigestThread {
  private worker: Worker | undefined;
  private readonly free: Buffer<SharedArrayBuffer>[] = [];
  private readonly waiting = new Map<number, Waiting>();
  private idleTimer: NodeJS.Timeout | undefined;
  private users = 0;
  private lastId = 0;

  /** SHA-256 of what `read` gives; it may put it into the memory that it is offered. */
  async digest(lengthBytes: number, read: (into: Buffer) => Promise<Buffer>): Promise<Buffer> {
    clearTimeout(this.idleTimer);
    this.users += 1;
    const known = this.free.pop();
    const memory = known?.length === lengthBytes ? known : allocateAlignedShared(lengthBytes);
    try {
      const data = await read(memory);
      if (data !== memory) data.copy(memory);
      return await this.ask(memory.buffer);
    } finally {
      this.free.push(memory);
      this.users -= 1;
      if (this.users === 0) this.idleTimer = setTimeout(() => this.rest(), IDLE_MS).unref();
    }
  }

  private ask(memory: SharedArrayBuffer): Promise<Buffer> {
    this.worker ??= this.start();
    this.lastId += 1;
    const id = this.lastId;
    const answer = new Promise<Buffer>((resolve, reject) =>
      this.waiting.set(id, { resolve, reject }),
    );
    this.worker.postMessage({ id, memory } satisfies DigestRequest);
    return answer;
  }

  private start(): Worker {
    const worker = new Worker(WORKER, {
      execArgv: [],
      // It has next to nothing on its heap, which would grow to what V8 thinks fit for the machine.
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 },
    });
    worker.on('message', ({ id, digest }: DigestAnswer) => {
      this.waiting.get(id)?.resolve(Buffer.from(digest));
      this.waiting.delete(id);
    });
    worker.on('error', (error) => this.lost(worker, error));
    worker.on('exit', () => this.lost(worker, new Error('it has ended')));
    // Who waits for it has a connection open; a thread at rest keeps no process from ending.
    worker.unref();
    return worker;
  }

  private lost(worker: Worker, reason: Error): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    const error = RpcError.errno('EIO', `the thread that takes digests: ${reason.message}`);
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  private rest(): void {
    const { worker } = this;
    this.worker = undefined;
    this.free.length = 0;
    void worker?.terminate();
  }
}
