import type { BlockDevice } from '@lariat/nvme-tcp';
import { delay } from '@lariat/kernel';
import { BLOCK_BYTES } from './block-content.js';
import type { WriteHistory } from './write-history.js';

const LANES = 8;
const MAX_WRITE_BLOCKS = 4;
/** Of a cluster in these tests' stores, unless it is told otherwise: 64 KiB. */
const CLUSTER_BLOCKS = 16;

/** Concurrent writes, zeroings, reads and flushes on a device, each noted in its history. */
export class SteadyLoad {
  private deathIsExpected = false;
  private readonly lanes: Promise<void>[];

  constructor(
    private readonly device: BlockDevice,
    private readonly history: WriteHistory,
    private readonly clusterBlocks = CLUSTER_BLOCKS,
  ) {
    this.lanes = [
      ...Array.from({ length: LANES }, (_, lane) => this.alive(() => this.mutate(lane))),
      this.alive(() => this.flush()),
    ];
  }

  /** What fails from here on is the death that the test is about; resolves when all is answered. */
  async end(): Promise<void> {
    this.deathIsExpected = true;
    await Promise.all(this.lanes);
  }

  /** The caller is about to kill: errors are no news from now on. */
  expectDeath(): void {
    this.deathIsExpected = true;
  }

  private async alive(step: () => Promise<void>): Promise<void> {
    while (!this.deathIsExpected) {
      try {
        await step();
      } catch (error) {
        if (!this.deathIsExpected) throw error;
      }
    }
  }

  /** Each lane has blocks of its own, so that their writes have an order. */
  private async mutate(lane: number): Promise<void> {
    const { device, history, clusterBlocks } = this;
    const perLane = history.blocks / LANES;
    const isZero = Math.random() < 0.1;
    // Whole clusters too: zeros free them, and a target may write their bytes another way.
    const isWhole = isZero || Math.random() < 0.1;
    const blocks = isWhole ? clusterBlocks : 1 + Math.floor(Math.random() * MAX_WRITE_BLOCKS);
    const slots = isWhole ? perLane / clusterBlocks : perLane - blocks;
    const slot = Math.floor(Math.random() * slots);
    const block = lane * perLane + (isWhole ? slot * clusterBlocks : slot);
    const write = history.begin(block, blocks, isZero);
    const offsetBytes = block * BLOCK_BYTES;
    if (isZero) await device.writeZeroes(offsetBytes, blocks * BLOCK_BYTES);
    else await device.write(offsetBytes, write.data);
    history.acknowledge(write);
    if (Math.random() > 0.1) return;
    const seen = await device.read(offsetBytes, BLOCK_BYTES);
    if (!seen.equals(history.latest(block))) {
      throw new Error(`block ${block} does not read as the write that was just acknowledged`);
    }
  }

  private async flush(): Promise<void> {
    const covered = this.history.beginFlush();
    await this.device.flush();
    this.history.flushed(covered);
    await delay(Math.random() * 30);
  }
}
