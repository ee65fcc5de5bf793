import { CLUSTER_SIZE_BYTES as CLUSTER } from '@lariat/kernel';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClusterMap } from '../domain/cluster-map.js';
import type { Extent } from '../domain/qemu-map.js';
import { SlotPool } from '../domain/slot-pool.js';
import type { ByteReader } from '../ports/byte-reader.port.js';
import {
  extentPieces,
  fillSlot,
  type Piece,
  type RandomReader,
  sparsePieces,
  streamPieces,
} from './content-pieces.js';

const NEVER = new AbortController().signal;

/** Bytes that tell where they are from. */
const patterned = (lengthBytes: number): Buffer =>
  Buffer.from(Uint8Array.from({ length: lengthBytes }, (_, at) => (at * 31 + (at >> 8)) & 0xff));

const reading = (content: Buffer): RandomReader => ({
  readAt: (into, offsetBytes) => Promise.resolve(content.copy(into, 0, offsetBytes)),
});

/** Puts pieces together again; each but the last must be whole clusters. */
async function joined(pieces: AsyncIterable<Piece>, pool: SlotPool): Promise<Buffer> {
  const parts: Buffer[] = [];
  let isOver = false;
  for await (const piece of pieces) {
    expect(isOver).toBe(false);
    isOver = piece.lengthBytes % CLUSTER !== 0;
    if (piece.kind === 'hole') parts.push(Buffer.alloc(piece.lengthBytes));
    else {
      if (piece.lengthBytes > CLUSTER) throw new Error('more than a cluster');
      parts.push(Buffer.from(piece.slot.bytes.subarray(0, piece.lengthBytes)));
      // What the next one finds in it must not matter.
      piece.slot.bytes.fill(0xee);
      pool.release(piece.slot);
    }
  }
  expect(pool.freeSlots).toBe(pool.slots);
  return Buffer.concat(parts);
}

/** Gives its content in reads of the given lengths, over and over. */
function inReads(content: Buffer, lengths: readonly number[]): ByteReader {
  let at = 0;
  let turn = 0;
  return {
    totalBytes: null,
    read: (into) => {
      const wanted = lengths[turn % lengths.length] ?? 1;
      turn += 1;
      const count = content.copy(into, 0, at, Math.min(content.length, at + wanted));
      at += count;
      return Promise.resolve(count);
    },
    close: () => Promise.resolve(),
  };
}

describe('pieces of a stream', () => {
  it.each([1, CLUSTER - 1, CLUSTER, CLUSTER + 1, 3 * CLUSTER])(
    'of %i bytes are the same however it is split',
    async (sizeBytes) => {
      const content = patterned(sizeBytes);
      for (const lengths of [[CLUSTER], [CLUSTER - 1, 2], [65_536, 1, 4095], [700_001]]) {
        const pool = new SlotPool(2);
        const reader = inReads(content, lengths);
        const slot = await pool.take(NEVER);
        const first = { slot, lengthBytes: await fillSlot(reader, slot) };
        const all = await joined(streamPieces(first, reader, pool, NEVER), pool);
        expect(all.equals(content)).toBe(true);
      }
    },
  );
});

describe('pieces of a sparse file', () => {
  it('are what was marked as data, and holes', async () => {
    const content = patterned(5 * CLUSTER + 100);
    for (const hole of [0, 2, 3, 5]) content.subarray(hole * CLUSTER, (hole + 1) * CLUSTER).fill(0);
    const map = ClusterMap.ofSize(content.length);
    for (const data of [1, 4]) map.mark(data);
    const pool = new SlotPool(2);
    const all = await joined(
      sparsePieces(reading(content), map, content.length, pool, NEVER),
      pool,
    );
    expect(all.equals(content)).toBe(true);
  });

  it('read as zeros past the end of the file', async () => {
    const map = ClusterMap.ofSize(2 * CLUSTER);
    map.mark(0);
    map.mark(1);
    const pool = new SlotPool(2);
    const file = patterned(CLUSTER + 10);
    const all = await joined(sparsePieces(reading(file), map, 2 * CLUSTER, pool, NEVER), pool);
    expect(all.equals(Buffer.concat([file, Buffer.alloc(CLUSTER - 10)]))).toBe(true);
  });
});

describe('pieces of extents', () => {
  const anyExtents = fc.array(
    fc.record({
      sectors: fc.oneof(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 5000 })),
      data: fc.boolean(),
      offset: fc.nat(100_000),
    }),
    { minLength: 1, maxLength: 12 },
  );

  it('are what stands where they say', async () => {
    const file = patterned(4 * CLUSTER);
    const property = fc.asyncProperty(anyExtents, async (sized) => {
      let start = 0;
      const extents = sized.map(({ sectors, data, offset }): Extent => {
        const extent = { start, length: sectors * 512, data, offset: data ? offset : null };
        start += extent.length;
        return extent;
      });
      const expected = Buffer.concat(
        extents.map(({ length, offset }) => {
          const part = Buffer.alloc(length);
          if (offset !== null) file.copy(part, 0, offset);
          return part;
        }),
      );
      const each = async function* (): AsyncGenerator<Extent> {
        yield* extents;
      };
      const pool = new SlotPool(2);
      const pieces = extentPieces(each(), reading(file), expected.length, pool, NEVER);
      return (await joined(pieces, pool)).equals(expected);
    });
    const outcome = await fc.check(property, { numRuns: 100 });
    expect(outcome).toMatchObject({ failed: false, counterexample: null });
  });
});
