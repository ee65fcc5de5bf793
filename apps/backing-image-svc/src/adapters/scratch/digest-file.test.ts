import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { isZero, RootDigest, ZERO_CLUSTER_DIGEST } from '../../domain/cluster-digest.js';
import { DigestFile, readDigests } from './digest-file.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-digests-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const digest = (of: string): Buffer => createHash('sha256').update(of).digest();

it('gives back what was added, and one digest over all, over several pages', async () => {
  const path = join(folder, 'digests');
  const file = await DigestFile.create(path);
  const expected: Buffer[] = [];
  for (let round = 0; round < 6; round += 1) {
    for (let at = 0; at < 999; at += 1) {
      const one = digest(`${round} ${at}`);
      expected.push(one);
      await file.add(one);
    }
    const zeros = [1, 0, 4096, 2, 2048, 7][round] ?? 0;
    for (let at = 0; at < zeros; at += 1) expected.push(ZERO_CLUSTER_DIGEST);
    await file.addZeros(zeros);
  }
  const sizeBytes = expected.length * CLUSTER_SIZE_BYTES;
  const all = Buffer.concat(expected);
  const root = createHash('sha256').update(`${sizeBytes}:`).update(all).digest('hex');
  expect(await file.finish(sizeBytes)).toBe(root);
  await file.close();
  expect((await readDigests(path, 0, 1_000_000)).equals(all)).toBe(true);
  expect((await readDigests(path, 998, 3)).equals(all.subarray(998 * 32, 1001 * 32))).toBe(true);
  expect(await readDigests(path, expected.length, 5)).toHaveLength(0);
});

it('of nothing but zeros takes no space', async () => {
  const path = join(folder, 'digests');
  const file = await DigestFile.create(path);
  await file.addZeros(1_000_000);
  const root = new RootDigest(1_000_000 * CLUSTER_SIZE_BYTES);
  for (let at = 0; at < 1_000_000; at += 1) root.add(ZERO_CLUSTER_DIGEST);
  expect(await file.finish(1_000_000 * CLUSTER_SIZE_BYTES)).toBe(root.finish());
  await file.close();
  expect(statSync(path).blocks).toBeLessThan(16);
});

it('tells zeros from what only looks like them', () => {
  const cluster = Buffer.alloc(CLUSTER_SIZE_BYTES);
  expect(isZero(cluster)).toBe(true);
  expect(isZero(cluster.subarray(0, 1))).toBe(true);
  for (const at of [0, 4095, CLUSTER_SIZE_BYTES - 1]) {
    cluster[at] = 1;
    expect(isZero(cluster)).toBe(false);
    cluster[at] = 0;
  }
});
