import { Worker } from 'node:worker_threads';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import type { HashAnswer, HashRequest, HashWorkerData } from './hash-messages.js';
import type { Slot, SlotPool } from '../../domain/slot-pool.js';
import type { FinishedSums, Hashing, RunningSums } from '../../ports/hashing.port.js';

/** Beside this file; a test runner that runs the sources takes the built one, as a thread cannot load TypeScript. */
const WORKER = new URL(
  import.meta.url
    .replace(/\/src\/adapters\/hash\/[^/]+\.ts$/, '/dist/adapters/hash/hash-worker.js')
    .replace(/\/hash-lanes\.js$/, '/hash-worker.js'),
);

/** Omit of each member of a union. */
type Without<T, K extends keyof never> = T extends unknown ? Omit<T, K> : never;
type Asked = Without<HashRequest, 'id'>;

interface Waiting {
  readonly resolve: (answer: HashAnswer) => void;
  readonly reject: (reason: unknown) => void;
}

/** A thread that keeps one algorithm's sums; what it is asked is done in order. */
class Lane {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private failure: Error | null = null;

  constructor(data: HashWorkerData) {
    this.worker = new Worker(WORKER, {
      workerData: data,
      execArgv: [],
      // It has next to nothing on its heap, which would grow to what V8 thinks fit for the machine.
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 },
    });
    this.worker.on('message', (answer: HashAnswer) => {
      this.waiting.get(answer.id)?.resolve(answer);
      this.waiting.delete(answer.id);
    });
    this.worker.on('error', (error) => this.fail(error));
    this.worker.on('exit', () => this.fail(new Error('the hashing thread has ended')));
  }

  ask(asked: Asked): Promise<HashAnswer> {
    if (this.failure !== null) return Promise.reject(this.failure);
    this.lastId += 1;
    const id = this.lastId;
    const answer = new Promise<HashAnswer>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
    });
    this.worker.postMessage({ ...asked, id } satisfies HashRequest);
    return answer;
  }

  rest(): void {
    this.worker.unref();
  }

  wake(): void {
    this.worker.ref();
  }

  async close(): Promise<void> {
    await this.worker.terminate();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    for (const { reject } of this.waiting.values()) reject(this.failure);
    this.waiting.clear();
  }
}

/**
 * Both sums, each in a thread of its own. SHA-256 is about twice as fast as SHA-512 where the processor knows it, so the
 * digests of clusters go with it, and both threads have the same to do.
 */
export class HashLanes implements Hashing {
  private readonly sha256: Lane;
  private readonly sha512: Lane;
  private lastStream = 0;
  private isOddDigest = false;

  constructor(pool: SlotPool) {
    const { memory } = pool;
    const slotBytes = CLUSTER_SIZE_BYTES;
    this.sha256 = new Lane({ algorithm: 'sha256', memory, slotBytes });
    this.sha512 = new Lane({ algorithm: 'sha512', memory, slotBytes });
  }

  open(): RunningSums {
    this.lastStream += 1;
    return new LaneSums(this.sha256, this.sha512, this.lastStream);
  }

  async digest(slot: Slot): Promise<Buffer> {
    this.isOddDigest = !this.isOddDigest;
    const lane = this.isOddDigest ? this.sha512 : this.sha256;
    return digestOf(await lane.ask({ op: 'digest', stream: 0, slot: slot.index }));
  }

  /** Idle threads keep no process from ending. */
  rest(): void {
    this.sha256.rest();
    this.sha512.rest();
  }

  wake(): void {
    this.sha256.wake();
    this.sha512.wake();
  }

  async close(): Promise<void> {
    await Promise.all([this.sha256.close(), this.sha512.close()]);
  }
}

function digestOf({ cluster }: HashAnswer): Buffer {
  if (cluster === undefined) throw new Error('the hashing thread gave no digest');
  return Buffer.from(cluster.buffer, cluster.byteOffset, cluster.byteLength);
}

class LaneSums implements RunningSums {
  private lengthBytes = 0;

  constructor(
    private readonly sha256: Lane,
    private readonly sha512: Lane,
    private readonly stream: number,
  ) {}

  async update(slot: Slot, lengthBytes: number): Promise<void> {
    this.lengthBytes += lengthBytes;
    await this.both({ op: 'update', slot: slot.index, lengthBytes, cluster: false });
  }

  async updateCluster(slot: Slot, lengthBytes: number): Promise<Buffer> {
    this.lengthBytes += lengthBytes;
    const asked = { op: 'update', stream: this.stream, slot: slot.index, lengthBytes } as const;
    const [answer] = await Promise.all([
      this.sha256.ask({ ...asked, cluster: true }),
      this.sha512.ask({ ...asked, cluster: false }),
    ]);
    return digestOf(answer);
  }

  async zeros(lengthBytes: number): Promise<void> {
    this.lengthBytes += lengthBytes;
    await this.both({ op: 'zeros', lengthBytes });
  }

  async finish(): Promise<FinishedSums> {
    const over = this.lengthBytes % CLUSTER_SIZE_BYTES;
    const paddingBytes = over === 0 ? 0 : CLUSTER_SIZE_BYTES - over;
    const [sha256, sha512] = await this.both({ op: 'finish', paddingBytes });
    return {
      sums: { sha256: sha256.hex ?? '', sha512: sha512.hex ?? '' },
      paddedSums: { sha256: sha256.paddedHex ?? '', sha512: sha512.paddedHex ?? '' },
    };
  }

  private both(asked: Without<Asked, 'stream'>): Promise<[HashAnswer, HashAnswer]> {
    const request = { ...asked, stream: this.stream };
    return Promise.all([this.sha256.ask(request), this.sha512.ask(request)]);
  }
}
