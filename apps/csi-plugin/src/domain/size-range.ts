import { CLUSTER_SIZE_BYTES, GIB, MAX_VOLUME_SIZE_BYTES } from '@lariat/kernel';
import { Refusal } from './refusal.js';

/** What a volume gets of which nobody says how large it should be. */
const DEFAULT_SIZE_BYTES = BigInt(GIB);
const CLUSTER = BigInt(CLUSTER_SIZE_BYTES);
const LARGEST = BigInt(MAX_VOLUME_SIZE_BYTES);

/** Sizes in bytes of which one is wanted; a limit of 0 is none. */
export interface SizeRange {
  readonly requiredBytes: bigint;
  readonly limitBytes: bigint;
}

interface RangeText {
  readonly requiredBytes: string;
  readonly limitBytes: string;
}

export function parseRange(text: RangeText | null): SizeRange {
  const range = {
    requiredBytes: BigInt(text?.requiredBytes ?? '0'),
    limitBytes: BigInt(text?.limitBytes ?? '0'),
  };
  if (range.requiredBytes < 0n || range.limitBytes < 0n)
    throw new Refusal('INVALID_ARGUMENT', 'A capacity range has no negative sizes.');
  if (range.limitBytes > 0n && range.limitBytes < range.requiredBytes) {
    throw new Refusal(
      'INVALID_ARGUMENT',
      `The capacity range ends at ${range.limitBytes} bytes, below the ${range.requiredBytes} that are required.`,
    );
  }
  return range;
}

/** Whole clusters, at least what is required (and `leastBytes`, what the source has), at most the limit. */
export function sizeIn(range: SizeRange, leastBytes = 0n): number {
  const { requiredBytes, limitBytes } = range;
  let wanted = requiredBytes > leastBytes ? requiredBytes : leastBytes;
  if (wanted === 0n) {
    wanted = limitBytes > 0n && limitBytes < DEFAULT_SIZE_BYTES ? limitBytes : DEFAULT_SIZE_BYTES;
    // A limit alone that is no multiple of a cluster: what is below it will do.
    if (wanted === limitBytes) wanted -= wanted % CLUSTER;
  }
  const sizeBytes = ((wanted + CLUSTER - 1n) / CLUSTER) * CLUSTER;
  if (sizeBytes === 0n || sizeBytes > LARGEST || (limitBytes > 0n && sizeBytes > limitBytes)) {
    throw new Refusal(
      'OUT_OF_RANGE',
      `A volume has whole MiB, from ${CLUSTER} to ${LARGEST} bytes${leastBytes > 0n ? `, and not less than its source's ${leastBytes}` : ''}: none is from ${requiredBytes} to ${limitBytes === 0n ? 'any' : limitBytes}.`,
    );
  }
  return Number(sizeBytes);
}

/** Whether a volume of that size is what the range asks for. */
export function isInRange(sizeBytes: number, { requiredBytes, limitBytes }: SizeRange): boolean {
  const size = BigInt(sizeBytes);
  return size >= requiredBytes && (limitBytes === 0n || size <= limitBytes);
}
