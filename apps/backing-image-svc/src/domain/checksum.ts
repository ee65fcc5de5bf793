import { timingSafeEqual } from 'node:crypto';
import { lariatError } from '@lariat/contracts';

export const ChecksumAlgorithm = Object.freeze({ sha256: 'sha256', sha512: 'sha512' } as const);
export type ChecksumAlgorithm = (typeof ChecksumAlgorithm)[keyof typeof ChecksumAlgorithm];

const HEX_LENGTH: Readonly<Record<ChecksumAlgorithm, number>> = { sha256: 64, sha512: 128 };
const ALGORITHMS = Object.values(ChecksumAlgorithm);

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Lower case. */
  readonly hex: string;
}

/** Both sums of one sequence of bytes, as lower-case hex. */
export interface Sums {
  readonly sha256: string;
  readonly sha512: string;
}

export const formatChecksum = ({ algorithm, hex }: Checksum): string => `${algorithm}:${hex}`;

/** As `ImageView.checksums` lists them. */
export const formatSums = (sums: Sums): readonly string[] =>
  ALGORITHMS.map((algorithm) => formatChecksum({ algorithm, hex: sums[algorithm] }));

const isHexOf = (algorithm: ChecksumAlgorithm, text: string): boolean =>
  text.length === HEX_LENGTH[algorithm] && /^[0-9a-f]+$/i.test(text);

/** `sha256:…` or `sha512:…`. */
export function parseChecksum(text: string): Checksum {
  const [name = '', hex = '', ...rest] = text.trim().split(':');
  const algorithm = ALGORITHMS.find((known) => known === name.toLowerCase());
  if (algorithm === undefined || rest.length > 0) {
    throw invalid(`the checksum must be 'sha256:' or 'sha512:' and its hexadecimal digits`);
  }
  if (!isHexOf(algorithm, hex)) {
    throw invalid(
      `a ${algorithm} checksum has ${HEX_LENGTH[algorithm]} hexadecimal digits, and this one has ${hex.length} characters`,
    );
  }
  return { algorithm, hex: hex.toLowerCase() };
}

/** `<hex>  name`, `<hex> *name`: what sha256sum and sha512sum write. A leading backslash marks an escaped name. */
const GNU_LINE = /^\\?([0-9a-f]{64}|[0-9a-f]{128}) [ *](.+)$/i;
/** `SHA256 (name) = <hex>`: what BSD's tools, `--tag` and Fedora's CHECKSUM files write. */
const TAG_LINE = /^SHA(256|512) \((.+)\) = ([0-9a-f]+)$/i;
const BARE_LINE = /^([0-9a-f]{64}|[0-9a-f]{128})$/i;

const algorithmOfLength = (hex: string): ChecksumAlgorithm =>
  hex.length === HEX_LENGTH.sha256 ? ChecksumAlgorithm.sha256 : ChecksumAlgorithm.sha512;

interface NamedChecksum extends Checksum {
  /** Null in a file that holds nothing but one sum. */
  readonly name: string | null;
}

function parseLine(line: string): NamedChecksum | null {
  const gnu = GNU_LINE.exec(line);
  if (gnu?.[1] !== undefined && gnu[2] !== undefined)
    return { algorithm: algorithmOfLength(gnu[1]), hex: gnu[1].toLowerCase(), name: gnu[2] };
  const tag = TAG_LINE.exec(line);
  if (tag?.[1] !== undefined && tag[2] !== undefined && tag[3] !== undefined) {
    const algorithm = tag[1] === '256' ? ChecksumAlgorithm.sha256 : ChecksumAlgorithm.sha512;
    return isHexOf(algorithm, tag[3])
      ? { algorithm, hex: tag[3].toLowerCase(), name: tag[2] }
      : null;
  }
  const bare = BARE_LINE.exec(line);
  return bare?.[1] === undefined
    ? null
    : { algorithm: algorithmOfLength(bare[1]), hex: bare[1].toLowerCase(), name: null };
}

const baseName = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/**
 * The sum of one file out of a SHA256SUMS or SHA512SUMS file, sha512 before sha256 where both are there. Lines that
 * are not sums, such as those of a signature around them, are passed over.
 */
export function checksumFromFile(text: string, fileName: string): Checksum {
  const lines = text.split(/\r?\n/).flatMap((line) => parseLine(line.trim()) ?? []);
  const named = lines.filter(({ name }) => name !== null && baseName(name) === fileName);
  const [only] = lines;
  const bare = lines.length === 1 && only?.name === null ? lines : [];
  const found = named.length > 0 ? named : bare;
  for (const algorithm of [ChecksumAlgorithm.sha512, ChecksumAlgorithm.sha256]) {
    const sums = new Set(found.flatMap((sum) => (sum.algorithm === algorithm ? [sum.hex] : [])));
    if (sums.size > 1)
      throw invalid(`the checksum file has ${sums.size} different sums for '${fileName}'`);
    for (const hex of sums) return { algorithm, hex };
  }
  throw invalid(`the checksum file has no sha256 or sha512 sum for '${fileName}'`);
}

/** Throws with both sums as evidence when the file is not the one that was meant. */
export function verifyChecksum(expected: Checksum, actual: Sums): void {
  const found = actual[expected.algorithm];
  if (timingSafeEqual(Buffer.from(found, 'hex'), Buffer.from(expected.hex, 'hex'))) return;
  const { algorithm } = expected;
  throw lariatError(
    'IMAGE_CHECKSUM_MISMATCH',
    `the file's ${algorithm} is ${found}, and ${expected.hex} was expected; check the source, or the checksum`,
    {
      expected: formatChecksum(expected),
      found: formatChecksum({ algorithm, hex: found }),
      sha256: actual.sha256,
      sha512: actual.sha512,
    },
  );
}

const invalid = (message: string): Error => lariatError('IMAGE_CHECKSUM_INVALID', message);
