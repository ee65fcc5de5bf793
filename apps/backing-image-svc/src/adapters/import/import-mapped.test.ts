import { randomBytes } from 'node:crypto';
import { MIB } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { parseChecksum } from '../../domain/checksum.js';
import { ClusterMap } from '../../domain/cluster-map.js';
import type { ByteReader } from '../../ports/byte-reader.port.js';
import { padded, rootDigestOf, sumsOf } from '../../testing/images.js';
import { environmentOf, expectNothingLeft, optionsOf } from '../../testing/import-lab.js';
import { MemorySink } from '../../testing/memory-sink.js';
import { importImage } from './import-image.js';
import type { ImportEnvironment, ImportOptions, ImportResult } from './import-types.js';

const CLUSTERS = 12;

/** Data in some clusters, and one that is said to have some and has none. */
function newContent(): { readonly content: Buffer; readonly map: ClusterMap } {
  const content = Buffer.alloc(CLUSTERS * MIB);
  const map = ClusterMap.ofSize(content.length);
  for (const cluster of [0, 1, 2, 3, 4, 5, 9, 11]) {
    if (cluster !== 9) randomBytes(MIB).copy(content, cluster * MIB);
    map.mark(cluster);
  }
  return { content, map };
}

describe('content of which it is known where data is', () => {
  const { content, map } = newContent();
  const read: number[] = [];
  let underWay = 0;
  let most = 0;

  async function imported(
    options: Partial<ImportOptions> = {},
    environment: Partial<ImportEnvironment> = {},
    failsAt = -1,
  ): Promise<{ readonly result: ImportResult; readonly sink: MemorySink }> {
    read.length = 0;
    const sink = new MemorySink();
    const reader: ByteReader = {
      totalBytes: content.length,
      mapped: {
        sizeBytes: content.length,
        map,
        readCluster: async (cluster) => {
          read.push(cluster);
          underWay += 1;
          most = Math.max(most, underWay);
          await new Promise((resolve) => setImmediate(resolve));
          underWay -= 1;
          if (cluster === failsAt) throw new Error('a bad block');
          return content.subarray(cluster * MIB, (cluster + 1) * MIB);
        },
      },
      read: () => Promise.reject(new Error('it is not read as a stream')),
      close: () => Promise.resolve(),
    };
    const result = await importImage({
      source: { description: 'a volume', open: () => Promise.resolve(reader) },
      options: optionsOf({ isContent: true, ...options }),
      environment: { ...environmentOf(), ...environment },
      openSink: sink.open,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    expectNothingLeft();
    return { result, sink };
  }

  it('is read there alone, some clusters ahead, and has the sums of the whole', async () => {
    const { result, sink } = await imported();
    expect(read).toEqual([0, 1, 2, 3, 4, 5, 9, 11]);
    expect(most).toBeGreaterThan(1);
    expect(sink.content.equals(content)).toBe(true);
    expect([...sink.written].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 11]);
    const sums = sumsOf(content);
    expect(result).toMatchObject({
      ...{ format: 'raw', file: { sizeBytes: content.length, sums } },
      content: { sizeBytes: content.length, sums },
      device: { rootDigest: rootDigestOf(padded(content)), dataClusters: 7 },
    });
  });

  it('has no sums where it is mostly holes, but where a checksum asks for them', async () => {
    const holes = { holes: { alwaysBytes: 0, perDataByte: 0 } };
    const { result } = await imported({}, holes);
    expect(result).toMatchObject({ file: { sums: null }, content: { sums: null } });
    expect(result.device.rootDigest).toBe(rootDigestOf(padded(content)));
    const checksum = parseChecksum(`sha256:${sumsOf(content).sha256}`);
    expect((await imported({ checksum }, holes)).result.content.sums).toEqual(sumsOf(content));
    const other = parseChecksum(`sha256:${'0'.repeat(64)}`);
    await expect(imported({ checksum: other }, holes)).rejects.toMatchObject({
      code: 'IMAGE_CHECKSUM_MISMATCH',
    });
  });

  it('that is too large, or can not be read, is refused, and leaves nothing', async () => {
    await expect(imported({ maxSizeBytes: content.length - 1 })).rejects.toMatchObject({
      code: 'IMAGE_TOO_LARGE',
    });
    expect(read).toEqual([]);
    expectNothingLeft();
    await expect(imported({}, {}, 3)).rejects.toThrow('a bad block');
    expectNothingLeft();
  });
});
