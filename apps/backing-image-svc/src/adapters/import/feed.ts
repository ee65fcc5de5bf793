import type { Writable } from 'node:stream';
import { type FilledSlot, fillSlot } from '../../app/content-pieces.js';
import type { SlotPool } from '../../domain/slot-pool.js';
import type { ByteReader } from '../../ports/byte-reader.port.js';
import type { RunningSums } from '../../ports/hashing.port.js';

export interface FeedTask {
  readonly first: FilledSlot;
  readonly reader: ByteReader;
  readonly into: Writable;
  readonly sums: RunningSums;
  readonly pool: SlotPool;
  readonly signal: AbortSignal;
  readonly onBytes: (doneBytes: number) => void;
}

/**
 * Gives a packed file to what unpacks it, and takes its sums on the way. It goes on to the end of the file when the
 * unpacker has ended before: the sums are of the whole file, and what went wrong the unpacker's output tells.
 */
export async function feed(task: FeedTask): Promise<{ sizeBytes: number }> {
  const { reader, into, sums, pool, signal, onBytes } = task;
  let { slot, lengthBytes } = task.first;
  let sizeBytes = 0;
  while (lengthBytes > 0) {
    const bytes = slot.bytes.subarray(0, lengthBytes);
    await Promise.all([sums.update(slot, lengthBytes), write(into, bytes)]);
    sizeBytes += lengthBytes;
    onBytes(sizeBytes);
    pool.release(slot);
    slot = await pool.take(signal);
    lengthBytes = await fillSlot(reader, slot);
  }
  pool.release(slot);
  into.end();
  return { sizeBytes };
}

/** Resolves when the bytes are taken, or nobody is there to take them. */
function write(into: Writable, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (into.destroyed || into.writableEnded) return resolve();
    const done = (): void => {
      into.off('close', done);
      resolve();
    };
    into.once('close', done);
    into.write(bytes, done);
  });
}
