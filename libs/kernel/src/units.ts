export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

/** The unit of allocation on a disk; volume sizes are multiples of it. */
export const CLUSTER_SIZE_BYTES = MIB;

/** Sizes in JSON are integers up to 2^53-1; the largest multiple of a cluster below it. */
export const MAX_VOLUME_SIZE_BYTES =
  Math.floor(Number.MAX_SAFE_INTEGER / CLUSTER_SIZE_BYTES) * CLUSTER_SIZE_BYTES;

export function roundUpToCluster(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CLUSTER_SIZE_BYTES) * CLUSTER_SIZE_BYTES;
}

const SUFFIXES: readonly (readonly [string, number])[] = [
  ['TiB', TIB],
  ['GiB', GIB],
  ['MiB', MIB],
  ['KiB', KIB],
];

/** 1.5 GiB, 256 MiB, 12 B: at most one decimal. */
export function formatBytes(sizeBytes: number): string {
  for (const [suffix, unit] of SUFFIXES) {
    if (sizeBytes >= unit) {
      const value = sizeBytes / unit;
      return `${Number.isInteger(value) ? value : value.toFixed(1)} ${suffix}`;
    }
  }
  return `${sizeBytes} B`;
}

const SIZE_TEXT = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?$/i;
const UNIT_BY_LETTER: Readonly<Record<string, number>> = { k: KIB, m: MIB, g: GIB, t: TIB };

/** `256MiB`, `256M`, `1.5g`, `1048576`: powers of 1024. Undefined when it is not a size in whole bytes. */
export function parseSizeBytes(text: string): number | undefined {
  const match = SIZE_TEXT.exec(text.trim());
  if (match === null) return undefined;
  const unit = match[2] === undefined ? 1 : (UNIT_BY_LETTER[match[2].toLowerCase()] ?? 1);
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
