import { randomBytes } from 'node:crypto';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { expect, test } from 'vitest';
import {
  DIGEST_BYTES,
  MAX_DIGESTS_PER_PAGE,
  clusterDigestOf,
  decodeDigestPage,
  digestAt,
  digestCluster,
  encodeDigestPage,
  isZeroDigest,
  rootDigestOf,
} from './cluster-digests.js';

const digests = randomBytes(10 * DIGEST_BYTES);

test('a page holds the clusters from the first on, and ends with the content', () => {
  for (const [first, clusters] of [
    [0, 10],
    [3, 4],
    [8, 4],
    [10, 1],
  ] as const) {
    const page = decodeDigestPage(encodeDigestPage({ digests }, first, clusters));
    const expected = digests.subarray(first * DIGEST_BYTES, (first + clusters) * DIGEST_BYTES);
    expect(Buffer.concat([...page])).toEqual(Buffer.from(expected));
  }
});

test('a digest is the same in whatever thread it is taken', async () => {
  for (const cluster of [Buffer.alloc(CLUSTER_SIZE_BYTES), randomBytes(CLUSTER_SIZE_BYTES)])
    expect(await digestCluster(cluster)).toEqual(clusterDigestOf(cluster));
});

test('a whole page of digests that do not compress fits into a message', () => {
  const whole = randomBytes(MAX_DIGESTS_PER_PAGE * DIGEST_BYTES);
  const page = encodeDigestPage({ digests: whole }, 0, MAX_DIGESTS_PER_PAGE);
  expect(page.length).toBeLessThan(256 * 1024);
  expect(decodeDigestPage(page)).toHaveLength(MAX_DIGESTS_PER_PAGE);
});

test('a page that is none, is torn, or unfolds to more than it may is refused', () => {
  const page = encodeDigestPage({ digests }, 0, 10);
  for (const bad of [
    'nonsense',
    page.slice(0, -8),
    encodeDigestPage({ digests: digests.subarray(0, 40) }, 0, 2),
  ])
    expect(() => decodeDigestPage(bad)).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }),
    );
  expect(() => decodeDigestPage(page, 9)).toThrow('cannot be read');
});

test('zeros are told by their digest, and lie past the end', () => {
  const zeros = Buffer.alloc(CLUSTER_SIZE_BYTES);
  expect(isZeroDigest(clusterDigestOf(zeros))).toBe(true);
  zeros[CLUSTER_SIZE_BYTES - 1] = 1;
  expect(isZeroDigest(clusterDigestOf(zeros))).toBe(false);
  expect(isZeroDigest(digestAt({ digests }, 10))).toBe(true);
  expect(digestAt({ digests }, 9)).toEqual(Buffer.from(digests.subarray(9 * DIGEST_BYTES)));
});

test('the digest of the whole is of the size and of every cluster', () => {
  const root = rootDigestOf({ sizeBytes: 10 * CLUSTER_SIZE_BYTES, digests });
  expect(rootDigestOf({ sizeBytes: 10 * CLUSTER_SIZE_BYTES - 1, digests })).not.toBe(root);
  for (let at = 0; at < digests.length; at += DIGEST_BYTES) {
    const other = Buffer.from(digests);
    other[at] = (other[at] ?? 0) ^ 1;
    expect(rootDigestOf({ sizeBytes: 10 * CLUSTER_SIZE_BYTES, digests: other })).not.toBe(root);
  }
});
