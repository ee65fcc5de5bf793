import { randomBytes, randomInt } from 'node:crypto';
import { delay } from '@lariat/kernel';
import type { ExpectedContent } from './expected-content.js';
import type { NbdClient } from './nbd-client.js';

export interface WriterReport {
  readonly writes: number;
  readonly bytes: number;
  readonly longestStallMs: number;
}

const WRITE_BYTES = 64 * 1024;
/** Leaves the machine room for the copy that goes on at the same time. */
const PAUSE_MS = 2;

/** Writes random blocks into one region without end, and applies to the expectation what was acknowledged. */
export class SteadyWriter {
  private writes = 0;
  private longestStallMs = 0;
  private readonly stopRequest = new AbortController();
  private readonly done: Promise<void>;
  private failure: unknown;

  constructor(
    private readonly client: NbdClient,
    private readonly expected: ExpectedContent,
    private readonly region: { readonly startBytes: number; readonly lengthBytes: number },
  ) {
    this.done = this.run().catch((error: unknown) => {
      this.failure = error;
    });
  }

  get written(): number {
    return this.writes;
  }

  /** Throws what a write failed with. */
  check(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  async stop(): Promise<WriterReport> {
    this.stopRequest.abort();
    await this.done;
    this.check();
    return {
      writes: this.writes,
      bytes: this.writes * WRITE_BYTES,
      longestStallMs: Math.round(this.longestStallMs),
    };
  }

  private async run(): Promise<void> {
    const blocks = this.region.lengthBytes / WRITE_BYTES;
    while (!this.stopRequest.signal.aborted) {
      const offsetBytes = this.region.startBytes + randomInt(blocks) * WRITE_BYTES;
      const data = randomBytes(WRITE_BYTES);
      const startMs = performance.now();
      await this.client.write(offsetBytes, data);
      this.longestStallMs = Math.max(this.longestStallMs, performance.now() - startMs);
      await this.expected.apply(offsetBytes, data);
      this.writes += 1;
      await delay(PAUSE_MS);
    }
  }
}
