import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { MIB } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { DIGEST_BYTES } from '../../domain/cluster-digest.js';
import { hasTool, padded, sparseContent, sumsOf } from '../../testing/images.js';
import { codeOf, failure, imported, importing, lab } from '../../testing/import-lab.js';
import { readDigests } from '../scratch/digest-file.js';

const CONTENT = sparseContent(24 * MIB + 5 * 512);

describe('raw content', () => {
  it.each([1, 511, 4096, MIB - 1, MIB, MIB + 1, 17 * MIB + 3])(
    'of %i bytes is written, and summed, as it is',
    async (sizeBytes) => {
      const content = randomBytes(sizeBytes);
      writeFileSync(lab.image('a.img'), content);
      const result = await imported('a.img', content);
      expect(result).toMatchObject({ format: 'raw', compression: null });
    },
  );

  it('with holes is written without them', async () => {
    writeFileSync(lab.image('a.img'), CONTENT);
    const result = await imported('a.img', CONTENT);
    expect(result.device.dataClusters).toBeLessThan(result.device.sizeBytes / MIB);
  });

  it('of zeros alone is no write at all', async () => {
    writeFileSync(lab.image('a.img'), Buffer.alloc(3 * MIB + 1));
    const result = await imported('a.img', Buffer.alloc(3 * MIB + 1));
    expect(result.device.dataClusters).toBe(0);
  });

  it.each([
    ['gzip', gzipSync(CONTENT.subarray(0, 2 * MIB))],
    ['qcow2', Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), CONTENT])],
    ['a web page', Buffer.concat([Buffer.from('<!doctype html>'), CONTENT])],
  ])(
    'that is all there is, as of a volume, is taken as it is where it looks like %s',
    async (_name, bytes) => {
      writeFileSync(lab.image('a.img'), bytes);
      const result = await imported('a.img', bytes, { isContent: true });
      expect(result).toMatchObject({ format: 'raw', compression: null });
    },
  );

  it('gives the digest of each cluster', async () => {
    writeFileSync(lab.image('a.img'), CONTENT);
    expect(await imported('a.img', CONTENT)).toHaveProperty('device');
    const device = padded(CONTENT);
    const digests = await readDigests(lab.digestsPath, 0, 1000);
    expect(digests.length).toBe((device.length / MIB) * DIGEST_BYTES);
    for (let cluster = 0; cluster * MIB < device.length; cluster += 1) {
      const { sha256 } = sumsOf(device.subarray(cluster * MIB, (cluster + 1) * MIB));
      const at = cluster * DIGEST_BYTES;
      expect(digests.toString('hex', at, at + DIGEST_BYTES)).toBe(sha256);
    }
  });
});

describe('packed content', () => {
  const PACKERS = [
    ['gzip', '.gz', ['-k', '-1']],
    ['xz', '.xz', ['-k', '-0']],
    ['zstd', '.zst', ['-q', '-k']],
  ] as const;

  for (const [tool, suffix, args] of PACKERS) {
    it.skipIf(!hasTool(tool))(`with ${tool} is unpacked`, async () => {
      writeFileSync(lab.image('a.img'), CONTENT);
      lab.run(tool, ...args, 'a.img');
      const result = await imported(`a.img${suffix}`, CONTENT);
      expect(result).toMatchObject({ format: 'raw', compression: tool });
    });

    it.skipIf(!hasTool(tool))(`with ${tool} and cut off is refused`, async () => {
      writeFileSync(lab.image('a.img'), CONTENT);
      lab.run(tool, ...args, 'a.img');
      const packed = await readFile(lab.image(`a.img${suffix}`));
      writeFileSync(lab.image('b'), packed.subarray(0, packed.length >> 1));
      expect(await failure('b')).toBe('IMAGE_TRUNCATED');
    });

    it.skipIf(!hasTool(tool))(`with ${tool} and damaged is refused`, async () => {
      writeFileSync(lab.image('a.img'), randomBytes(4 * MIB));
      lab.run(tool, ...args, 'a.img');
      const packed = await readFile(lab.image(`a.img${suffix}`));
      packed.fill(0x55, 2 * MIB, 2 * MIB + 4096);
      packed.fill(0x55, packed.length - 8);
      writeFileSync(lab.image('b'), packed);
      expect(await failure('b')).toBe('IMAGE_CORRUPT');
    });

    it.skipIf(!hasTool(tool))(`with ${tool} that grows past the limit is refused`, async () => {
      writeFileSync(lab.image('a.img'), Buffer.alloc(64 * MIB));
      lab.run(tool, ...args, 'a.img');
      expect(await failure(`a.img${suffix}`, { maxSizeBytes: 32 * MIB })).toBe('IMAGE_TOO_LARGE');
    });
  }

  it('twice is refused', async () => {
    writeFileSync(lab.image('a'), gzipSync(gzipSync(CONTENT)));
    expect(await failure('a')).toBe('IMAGE_FORMAT_UNSUPPORTED');
  });

  it('holding nothing is refused', async () => {
    writeFileSync(lab.image('a'), gzipSync(Buffer.alloc(0)));
    expect(await failure('a')).toBe('IMAGE_EMPTY');
  });

  it.skipIf(!hasTool('zstd'))('that asks for a window of 1 GiB is refused', async () => {
    writeFileSync(lab.image('a'), randomBytes(2 * MIB));
    lab.run('sh', '-c', 'cat a a | zstd -q --ultra --long=30 -c > b.zst');
    expect(['IMAGE_FORMAT_UNSUPPORTED']).toContain(await codeOf(importing('b.zst')));
  });
});
