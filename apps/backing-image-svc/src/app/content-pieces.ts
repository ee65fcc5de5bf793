import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { throwIfCancelled } from '../domain/cancelled.js';
import type { ClusterMap } from '../domain/cluster-map.js';
import type { Slot, SlotPool } from '../domain/slot-pool.js';
import type { Extent } from '../domain/qemu-map.js';
import type { ByteReader, MappedContent } from '../ports/byte-reader.port.js';

/** Content in order, a cluster or a hole at a time. Only the last piece may end within a cluster. */
export type Piece =
  | { readonly kind: 'data'; readonly slot: Slot; readonly lengthBytes: number }
  | { readonly kind: 'hole'; readonly lengthBytes: number };

/** Fills a slot; less than a cluster only at the end. */
export async function fillSlot(reader: ByteReader, slot: Slot): Promise<number> {
  let filled = 0;
  while (filled < CLUSTER_SIZE_BYTES) {
    const length = await reader.read(slot.bytes.subarray(filled));
    if (length === 0) break;
    filled += length;
  }
  return filled;
}

/** A slot that was filled to look at what comes. */
export interface FilledSlot {
  readonly slot: Slot;
  readonly lengthBytes: number;
}

/** `first`, and what follows it in `reader`. */
export async function* streamPieces(
  first: FilledSlot,
  reader: ByteReader,
  pool: SlotPool,
  signal: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  let { slot, lengthBytes } = first;
  while (lengthBytes > 0) {
    yield { kind: 'data', slot, lengthBytes };
    if (lengthBytes < CLUSTER_SIZE_BYTES) return;
    slot = await pool.take(signal);
    lengthBytes = await fillSlot(reader, slot);
  }
  pool.release(slot);
}

/** Something whose bytes can be read in any order. */
export interface RandomReader {
  /** Reads as many bytes as `into` has, or up to the end. */
  readAt(into: Buffer, offsetBytes: number): Promise<number>;
}

/** What `map` says may be data; the rest is not read. */
export async function* sparsePieces(
  from: RandomReader,
  map: ClusterMap,
  sizeBytes: number,
  pool: SlotPool,
  signal: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  for (const { first, count, isData } of map.runs()) {
    const startBytes = first * CLUSTER_SIZE_BYTES;
    const endBytes = Math.min((first + count) * CLUSTER_SIZE_BYTES, sizeBytes);
    if (endBytes <= startBytes) return;
    if (!isData) {
      yield { kind: 'hole', lengthBytes: endBytes - startBytes };
      continue;
    }
    for (let at = startBytes; at < endBytes; at += CLUSTER_SIZE_BYTES) {
      throwIfCancelled(signal);
      const slot = await pool.take(signal);
      const lengthBytes = Math.min(CLUSTER_SIZE_BYTES, endBytes - at);
      const got = await from.readAt(slot.bytes.subarray(0, lengthBytes), at);
      slot.bytes.fill(0, got, lengthBytes);
      yield { kind: 'data', slot, lengthBytes };
    }
  }
}

/** Clusters that are asked for ahead: hides the way to another node. */
const READ_AHEAD = 4;

/** The same of content that is far away: some clusters are on their way while one is worked on. */
export async function* mappedPieces(
  content: MappedContent,
  pool: SlotPool,
  signal: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  const { sizeBytes, map } = content;
  const wanted = dataClusters(map);
  const ahead: Promise<Buffer>[] = [];
  const askAhead = (): void => {
    while (ahead.length < READ_AHEAD) {
      const { value, done } = wanted.next();
      if (done === true) return;
      const read = content.readCluster(value);
      // Told when its turn comes, if it does.
      read.catch(() => undefined);
      ahead.push(read);
    }
  };
  for (const { first, count, isData } of map.runs()) {
    const startBytes = first * CLUSTER_SIZE_BYTES;
    const endBytes = Math.min((first + count) * CLUSTER_SIZE_BYTES, sizeBytes);
    if (!isData) {
      yield { kind: 'hole', lengthBytes: endBytes - startBytes };
      continue;
    }
    for (let at = startBytes; at < endBytes; at += CLUSTER_SIZE_BYTES) {
      throwIfCancelled(signal);
      askAhead();
      const slot = await pool.take(signal);
      const bytes = await ahead.shift();
      const lengthBytes = bytes?.copy(slot.bytes) ?? 0;
      yield { kind: 'data', slot, lengthBytes };
    }
  }
}

function* dataClusters(map: ClusterMap): Generator<number, void, undefined> {
  for (const { first, count, isData } of map.runs())
    for (let at = first; isData && at < first + count; at += 1) yield at;
}

/** What stands at the places that the extents name; they are in order, and end at `sizeBytes`. */
export async function* extentPieces(
  extents: AsyncIterable<Extent>,
  from: RandomReader,
  sizeBytes: number,
  pool: SlotPool,
  signal: AbortSignal,
): AsyncGenerator<Piece, void, undefined> {
  /** The cluster that is being put together; null: the position is at the start of one. */
  let slot: Slot | null = null;
  for await (const { start, length, data, offset } of extents) {
    const end = start + length;
    for (let at = start; at < end;) {
      throwIfCancelled(signal);
      const within = at % CLUSTER_SIZE_BYTES;
      if (slot === null && !data) {
        const whole = end === sizeBytes ? end - at : wholeClusters(end - at);
        if (whole > 0) yield { kind: 'hole', lengthBytes: whole };
        at += whole;
        if (at === end) break;
      }
      slot ??= await pool.take(signal);
      const count = Math.min(end - at, CLUSTER_SIZE_BYTES - within);
      const part = slot.bytes.subarray(within, within + count);
      const got = data && offset !== null ? await from.readAt(part, offset + at - start) : 0;
      part.fill(0, got);
      at += count;
      if (within + count < CLUSTER_SIZE_BYTES && at < sizeBytes) continue;
      yield { kind: 'data', slot, lengthBytes: within + count };
      slot = null;
    }
  }
}

const wholeClusters = (bytes: number): number => bytes - (bytes % CLUSTER_SIZE_BYTES);
