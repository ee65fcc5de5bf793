import { toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { checksumFromFile, formatChecksum, parseChecksum, verifyChecksum } from './checksum.js';

const A = 'a1'.repeat(32);
const B = 'b2'.repeat(32);
const LONG = 'c3'.repeat(64);

const codeOf = (work: () => unknown): string => {
  try {
    return `done: ${String(work())}`;
  } catch (reason) {
    return toLariatError(reason).code;
  }
};

describe('a checksum', () => {
  it.each([
    [`sha256:${A}`, `sha256:${A}`],
    [`SHA512:${LONG.toUpperCase()}`, `sha512:${LONG}`],
    [`  sha256:${A}\n`, `sha256:${A}`],
  ])('%s is understood', (text, normal) => {
    expect(formatChecksum(parseChecksum(text))).toBe(normal);
  });

  it.each([
    '',
    A,
    'sha256:',
    `sha256:${LONG}`,
    `sha512:${A}`,
    `md5:${A}`,
    `sha256:${A}:${A}`,
    `sha256:${'g'.repeat(64)}`,
  ])("'%s' is refused", (text) => {
    expect(codeOf(() => parseChecksum(text))).toBe('IMAGE_CHECKSUM_INVALID');
  });

  it('that differs is an error with both sums', () => {
    const sums = { sha256: A, sha512: LONG };
    expect(() => verifyChecksum({ algorithm: 'sha256', hex: A }, sums)).not.toThrow();
    expect(() => verifyChecksum({ algorithm: 'sha256', hex: B }, sums)).toThrow(
      expect.objectContaining({
        code: 'IMAGE_CHECKSUM_MISMATCH',
        details: { expected: `sha256:${B}`, found: `sha256:${A}`, ...sums },
      }),
    );
  });
});

describe('a checksum file', () => {
  const found = (text: string, name = 'debian.qcow2'): string =>
    formatChecksum(checksumFromFile(text, name));

  it.each([
    ['of sha256sum', `${B}  other.qcow2\n${A}  debian.qcow2\n`],
    ['of sha256sum --binary', `${A} *debian.qcow2\n`],
    ['with folders', `${A}  ./images/debian.qcow2\n`],
    ['of Windows', `${A}  debian.qcow2\r\n`],
    ['with an escaped name elsewhere', `\\${B}  a\\nb\n${A}  debian.qcow2\n`],
    ['of BSD', `SHA256 (debian.qcow2) = ${A}\nSHA256 (x) = ${B}\n`],
    [
      'that is signed',
      `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# debian.qcow2: 12 bytes\nSHA256 (debian.qcow2) = ${A}\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n`,
    ],
    ['with one sum and no name', `${A}\n`],
  ])('%s is understood', (_what, text) => {
    expect(found(text)).toBe(`sha256:${A}`);
  });

  it('with both sums gives the longer', () => {
    expect(found(`SHA256 (debian.qcow2) = ${A}\nSHA512 (debian.qcow2) = ${LONG}\n`)).toBe(
      `sha512:${LONG}`,
    );
  });

  it.each([
    ['without the file', `${A}  other.qcow2\n`],
    ['with a longer name', `${A}  my-debian.qcow2\n`],
    ['with two sums for it', `${A}  debian.qcow2\n${B}  debian.qcow2\n`],
    ['with sums and no names', `${A}\n${B}\n`],
    ['with another kind of sum', `${'a'.repeat(32)}  debian.qcow2\n`],
    ['that is none', '<html>not found</html>'],
    ['that is empty', ''],
  ])('%s is refused', (_what, text) => {
    expect(codeOf(() => found(text))).toBe('IMAGE_CHECKSUM_INVALID');
  });
});
