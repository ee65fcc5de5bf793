import { lariatError } from '@lariat/contracts';

/** One line of `qemu-img map --output=json`. */
export interface Extent {
  readonly start: number;
  readonly length: number;
  /** False: reads as zeros, and nothing is stored. */
  readonly data: boolean;
  /** Where it stands in the image's file; null: nowhere as it is, that is, compressed. */
  readonly offset: number | null;
}

const corrupt = (message: string): Error =>
  lariatError('IMAGE_CORRUPT', `the image's tables cannot be right: ${message}`);

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** Null for a line that holds only a bracket of the list. */
export function parseExtentLine(line: string): Extent | null {
  const text = line
    .trim()
    .replace(/^\[/, '')
    .replace(/[\],]+$/, '');
  if (text === '') return null;
  let value: {
    start?: unknown;
    length?: unknown;
    data?: unknown;
    zero?: unknown;
    offset?: unknown;
  };
  try {
    value = JSON.parse(text) as typeof value;
  } catch (reason) {
    throw lariatError('IMAGE_CORRUPT', 'the map of the image cannot be read', {}, reason);
  }
  const { start, length, data, zero, offset } = value;
  if (!isCount(start) || !isCount(length) || typeof data !== 'boolean')
    throw corrupt('an extent without a place');
  return { start, length, data: data && zero !== true, offset: isCount(offset) ? offset : null };
}

/** Below this on average, so many reads would be needed that one conversion costs less. */
const LEAST_EXTENT_BYTES = 32 * 1024;

/** Adds up extents, which must be in order and within the image, and hold no more than the file has. */
export class ExtentTally {
  private endBytes = 0;
  private storedBytes = 0;
  private dataExtents = 0;
  private isPacked = false;

  constructor(
    private readonly fileBytes: number,
    private readonly virtualSizeBytes: number,
  ) {}

  add({ start, length, data, offset }: Extent): void {
    if (start !== this.endBytes || length === 0) throw corrupt('extents that are not in order');
    this.endBytes = start + length;
    if (this.endBytes > this.virtualSizeBytes) throw corrupt('extents past its end');
    if (!data) return;
    this.dataExtents += 1;
    if (offset === null) {
      this.isPacked = true;
      return;
    }
    // Past its end a file reads as zeros, which would be taken for content. qemu keeps the whole of each cluster.
    if (offset + length > this.fileBytes) {
      throw lariatError(
        'IMAGE_TRUNCATED',
        `the image refers to data up to ${offset + length}, and its file ends at ${this.fileBytes}: a part of it is missing`,
      );
    }
    this.storedBytes += length;
    // Clusters that many entries share: a small file with endless content.
    if (this.storedBytes > this.fileBytes)
      throw corrupt('clusters that stand in more than one place');
  }

  /** Whether all data stands in the file as it is, in pieces that are worth a read each. */
  get isReadable(): boolean {
    return !this.isPacked && this.storedBytes >= this.dataExtents * LEAST_EXTENT_BYTES;
  }

  finish(): void {
    if (this.endBytes !== this.virtualSizeBytes) {
      throw corrupt(`${this.endBytes} bytes are mapped, and it has ${this.virtualSizeBytes}`);
    }
  }
}
