import type { JsonObject } from '../rpc/method.js';

export type IoKind = 'read' | 'write' | 'unmap';

/** Ticks of bdev_get_iostat are nanoseconds. */
export const TICKS_PER_SECOND = 1_000_000_000;

class Counter {
  ops = 0;
  bytes = 0;
  ticks = 0;
  maxTicks = 0;
  minTicks = 0;

  add(bytes: number, ticks: number): void {
    this.minTicks = this.ops === 0 ? ticks : Math.min(this.minTicks, ticks);
    this.maxTicks = Math.max(this.maxTicks, ticks);
    this.ops += 1;
    this.bytes += bytes;
    this.ticks += ticks;
  }
}

/** What one bdev has done since it was registered or its counters were reset. */
export class IoStat {
  private counters = freshCounters();

  add(kind: IoKind, bytes: number, startedMs: number): void {
    const ticks = Math.round((performance.now() - startedMs) * 1e6);
    this.counters[kind].add(bytes, ticks);
  }

  reset(): void {
    this.counters = freshCounters();
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
    };
  }
}

function freshCounters(): Record<IoKind, Counter> {
  return { read: new Counter(), write: new Counter(), unmap: new Counter() };
}
