import type { JsonObject, MethodCall } from '../../rpc/method.js';
import type { Bdev } from '../bdev.js';
import { OverlayBdev } from './overlay-bdev.js';

export const LATENCY_TYPES = ['avg_read', 'p99_read', 'avg_write', 'p99_write'] as const;
export type LatencyType = (typeof LATENCY_TYPES)[number];
export type LatenciesUs = Readonly<Record<LatencyType, number>>;

/** One I/O in so many gets the latency of the slowest hundredth. */
const P99_SHARE = 0.01;

export interface DelayBdevOptions {
  readonly name: string;
  readonly uuid: string;
  readonly base: Bdev;
  readonly latenciesUs: LatenciesUs;
  /** In [0, 1). */
  readonly random?: () => number;
}

/**
 * Holds the answers of reads and writes back, good ones and bad ones, after its base has given them
 * (module/bdev/delay/vbdev_delay.c). No finer than a timer's millisecond.
 */
export class DelayBdev extends OverlayBdev {
  override readonly productName = 'delay';
  private latenciesUs: LatenciesUs;
  /** When the last answer of each type goes out, on the monotonic clock. */
  private readonly lastDueMs: Record<LatencyType, number> = {
    avg_read: 0,
    p99_read: 0,
    avg_write: 0,
    p99_write: 0,
  };
  private readonly random: () => number;

  constructor({ name, uuid, base, latenciesUs, random = Math.random }: DelayBdevOptions) {
    super(name, uuid, base);
    this.latenciesUs = latenciesUs;
    this.random = random;
  }

  /** For I/O that its base answers from now on. */
  setLatency(type: LatencyType, latencyUs: number): void {
    this.latenciesUs = { ...this.latenciesUs, [type]: latencyUs };
  }

  override describe(): JsonObject {
    return { delay: this.creation.params };
  }

  override get creation() {
    return {
      method: 'bdev_delay_create',
      params: {
        name: this.name,
        base_bdev_name: this.base.name,
        uuid: this.uuid,
        avg_read_latency: this.latenciesUs.avg_read,
        p99_read_latency: this.latenciesUs.p99_read,
        avg_write_latency: this.latenciesUs.avg_write,
        p99_write_latency: this.latenciesUs.p99_write,
      },
    } satisfies MethodCall;
  }

  protected override readBlocks(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return this.delayed('read', () => super.readBlocks(offsetBytes, lengthBytes));
  }

  protected override writeBlocks(offsetBytes: number, data: Buffer): Promise<void> {
    return this.delayed('write', () => super.writeBlocks(offsetBytes, data));
  }

  private async delayed<T>(direction: 'read' | 'write', io: () => Promise<T>): Promise<T> {
    const type: LatencyType = `${this.random() < P99_SHARE ? 'p99' : 'avg'}_${direction}`;
    try {
      return await io();
    } finally {
      await this.turnOf(type);
    }
  }

  /** Answers of one type go out in their order: one that is held for long holds those behind it, as in SPDK. */
  private turnOf(type: LatencyType): Promise<void> | undefined {
    const now = performance.now();
    const dueMs = Math.max(this.lastDueMs[type], now + this.latenciesUs[type] / 1000);
    this.lastDueMs[type] = dueMs;
    if (dueMs <= now) return undefined;
    return new Promise((resolve) => setTimeout(resolve, dueMs - now));
  }
}
