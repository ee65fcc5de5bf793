import { BlockIoError, BlockIoFailure } from '@lariat/nvme-tcp';
import type { JsonObject } from '../rpc/method.js';

/** I/O that is counted; zeroing is not (bdev_io_update_io_stat in lib/bdev/bdev.c). */
export type IoKind = 'read' | 'write' | 'unmap';

/** Ticks of bdev_get_iostat are nanoseconds. */
export const TICKS_PER_SECOND = 1_000_000_000;

/** What a reset forgets: extremes of latency, failures, or everything. */
export const RESET_MODES = ['all', 'maxmin', 'error', 'none'] as const;
export type ResetMode = (typeof RESET_MODES)[number];

class Counter {
  ops = 0;
  bytes = 0;
  ticks = 0;
  maxTicks = 0;
  private leastTicks = Infinity;

  get minTicks(): number {
    return this.leastTicks === Infinity ? 0 : this.leastTicks;
  }

  add(bytes: number, ticks: number): void {
    this.leastTicks = Math.min(this.leastTicks, ticks);
    this.maxTicks = Math.max(this.maxTicks, ticks);
    this.ops += 1;
    this.bytes += bytes;
    this.ticks += ticks;
  }

  forgetExtremes(): void {
    this.maxTicks = 0;
    this.leastTicks = Infinity;
  }
}

/** What one bdev has done since it was registered or its counters were reset. */
export class IoStat {
  private counters = freshCounters();
  private readonly errors = new Map<string, number>();

  add(kind: IoKind, bytes: number, startedMs: number): void {
    const ticks = Math.round((performance.now() - startedMs) * 1e6);
    this.counters[kind].add(bytes, ticks);
  }

  addFailure(error: unknown): void {
    const status = statusOf(error);
    this.errors.set(status, (this.errors.get(status) ?? 0) + 1);
  }

  reset(mode: ResetMode): void {
    if (mode === 'all' || mode === 'error') this.errors.clear();
    if (mode === 'all') this.counters = freshCounters();
    if (mode === 'maxmin') {
      for (const counter of Object.values(this.counters)) counter.forgetExtremes();
    }
  }

  /** The fields of spdk_bdev_dump_io_stat_json (lib/bdev/bdev.c). */
  toJson(): JsonObject {
    const { read, write, unmap } = this.counters;
    return {
      bytes_read: read.bytes,
      num_read_ops: read.ops,
      bytes_written: write.bytes,
      num_write_ops: write.ops,
      bytes_unmapped: unmap.bytes,
      num_unmap_ops: unmap.ops,
      bytes_copied: 0,
      num_copy_ops: 0,
      read_latency_ticks: read.ticks,
      max_read_latency_ticks: read.maxTicks,
      min_read_latency_ticks: read.minTicks,
      write_latency_ticks: write.ticks,
      max_write_latency_ticks: write.maxTicks,
      min_write_latency_ticks: write.minTicks,
      unmap_latency_ticks: unmap.ticks,
      max_unmap_latency_ticks: unmap.maxTicks,
      min_unmap_latency_ticks: unmap.minTicks,
      copy_latency_ticks: 0,
      max_copy_latency_ticks: 0,
      min_copy_latency_ticks: 0,
      io_error: Object.fromEntries(this.errors),
    };
  }
}

/** One of bdev_io_status_strings (lib/bdev/bdev.c). */
function statusOf(error: unknown): string {
  const isAborted = error instanceof BlockIoError && error.failure === BlockIoFailure.aborted;
  return isAborted ? 'aborted' : 'failed';
}

function freshCounters(): Record<IoKind, Counter> {
  return { read: new Counter(), write: new Counter(), unmap: new Counter() };
}
