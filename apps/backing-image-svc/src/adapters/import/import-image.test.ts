import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseAllowList } from '../../domain/address-guard.js';
import { parseChecksum } from '../../domain/checksum.js';
import { DIGEST_BYTES } from '../../domain/cluster-digest.js';
import { DEFAULT_HOLE_POLICY } from '../../domain/hole-policy.js';
import type { ImportProgress } from '../../domain/progress.js';
import { hasTool, padded, rootDigestOf, run, sparseContent, sumsOf } from '../../testing/images.js';
import { imageServer, serve } from '../../testing/image-server.js';
import { MemorySink } from '../../testing/memory-sink.js';
import { DEFAULT_HTTP_SETTINGS, type HttpSettings } from '../http/http-settings.js';
import { HttpSource } from '../http/http-source.js';
import { Sandbox } from '../child/sandbox.js';
import { FileSource } from '../file/file-source.js';
import { readDigests } from '../scratch/digest-file.js';
import { importImage } from './import-image.js';
import type { ImportOptions, ImportResult } from './import-types.js';

const HAS_QEMU = hasTool('qemu-img');
const PATH = process.env['PATH'] ?? '/usr/bin:/bin';

let sandbox: Sandbox;
let folder: string;
let scratchParent: string;
beforeAll(async () => {
  sandbox = await Sandbox.detect(PATH);
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-import-'));
  scratchParent = join(folder, 'scratch');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function canMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), 'lariat-mount-'));
  try {
    run(probe, 'mount', '-t', 'tmpfs', 'none', probe);
    run(tmpdir(), 'umount', probe);
    return true;
  } catch {
    // Not root, or in a container that may not.
    return false;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

const image = (name: string): string => join(folder, name);

function optionsOf(more: Partial<ImportOptions> = {}): ImportOptions {
  return {
    checksum: null,
    format: null,
    maxSizeBytes: 1024 * MIB,
    digestsPath: join(folder, 'digests'),
    scratchParent,
    sandbox,
    holes: DEFAULT_HOLE_POLICY,
    ...more,
  };
}

interface Imported {
  readonly sink: MemorySink;
  readonly progress: ImportProgress[];
  readonly result: Promise<ImportResult>;
}

function importing(
  name: string,
  more: Partial<ImportOptions> = {},
  signal = new AbortController().signal,
  onProgress: (progress: ImportProgress) => void = () => undefined,
): Imported {
  const sink = new MemorySink();
  const progress: ImportProgress[] = [];
  const result = importImage({
    source: new FileSource(image(name), { maxBytes: 2048 * MIB, folders: null }),
    options: optionsOf(more),
    openSink: sink.open,
    signal,
    onProgress: (told) => {
      progress.push(told);
      onProgress(told);
    },
  });
  return { sink, progress, result };
}

/** Processes that work in this test's scratch folder. */
function toolsAtWork(): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(scratchParent);
    } catch {
      // It has ended.
      return false;
    }
  });
}

function expectNothingLeft(): void {
  expect(readdirSync(scratchParent)).toEqual([]);
  expect(toolsAtWork()).toEqual([]);
}

async function codeOf({ result }: Imported): Promise<string> {
  return result.then(
    () => 'done',
    (reason: unknown) => toLariatError(reason).code,
  );
}

/** The code that the import fails with; it leaves nothing. */
async function failure(name: string, more: Partial<ImportOptions> = {}): Promise<string> {
  const imported = importing(name, more);
  const code = await codeOf(imported);
  expectNothingLeft();
  expect(readdirSync(folder)).not.toContain('digests');
  expect(imported.sink.isFinished).toBe(false);
  return code;
}

/** The import gives this content and its sums, of a file that has sums of its own. */
async function imported(
  name: string,
  content: Buffer,
  more: Partial<ImportOptions> = {},
): Promise<ImportResult> {
  const { sink, progress, result: importingNow } = importing(name, more);
  const result = await importingNow;
  const device = padded(content);
  expect(sink.content.equals(device)).toBe(true);
  expect(sink.isFinished && sink.isClosed).toBe(true);
  expect(result.content).toEqual({ sizeBytes: content.length, sums: sumsOf(content) });
  expect(result.device).toEqual({
    sizeBytes: device.length,
    sums: sumsOf(device),
    rootDigest: rootDigestOf(device),
    dataClusters: sink.written.size,
  });
  const file = await readFile(image(name));
  expect(result.file).toEqual({ sizeBytes: file.length, sums: sumsOf(file) });
  // Zeros are never sent.
  for (let at = 0; at < device.length; at += MIB)
    expect(sink.written.has(at / MIB)).toBe(
      !device.subarray(at, at + MIB).equals(Buffer.alloc(MIB)),
    );
  expect(progress.length).toBeGreaterThan(0);
  expectNothingLeft();
  return result;
}

const CONTENT = sparseContent(24 * MIB + 5 * 512);

describe('raw content', () => {
  it.each([1, 511, 4096, MIB - 1, MIB, MIB + 1, 17 * MIB + 3])(
    'of %i bytes is written, and summed, as it is',
    async (sizeBytes) => {
      const content = randomBytes(sizeBytes);
      writeFileSync(image('a.img'), content);
      const result = await imported('a.img', content);
      expect(result).toMatchObject({ format: 'raw', compression: null });
    },
  );

  it('with holes is written without them', async () => {
    writeFileSync(image('a.img'), CONTENT);
    const result = await imported('a.img', CONTENT);
    expect(result.device.dataClusters).toBeLessThan(result.device.sizeBytes / MIB);
  });

  it('of zeros alone is no write at all', async () => {
    writeFileSync(image('a.img'), Buffer.alloc(3 * MIB + 1));
    const result = await imported('a.img', Buffer.alloc(3 * MIB + 1));
    expect(result.device.dataClusters).toBe(0);
  });

  it('gives the digest of each cluster', async () => {
    writeFileSync(image('a.img'), CONTENT);
    expect(await imported('a.img', CONTENT)).toHaveProperty('device');
    const device = padded(CONTENT);
    const digests = await readDigests(join(folder, 'digests'), 0, 1000);
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
      writeFileSync(image('a.img'), CONTENT);
      run(folder, tool, ...args, 'a.img');
      const result = await imported(`a.img${suffix}`, CONTENT);
      expect(result).toMatchObject({ format: 'raw', compression: tool });
    });

    it.skipIf(!hasTool(tool))(`with ${tool} and cut off is refused`, async () => {
      writeFileSync(image('a.img'), CONTENT);
      run(folder, tool, ...args, 'a.img');
      const packed = await readFile(image(`a.img${suffix}`));
      writeFileSync(image('b'), packed.subarray(0, packed.length >> 1));
      expect(await failure('b')).toBe('IMAGE_TRUNCATED');
    });

    it.skipIf(!hasTool(tool))(`with ${tool} and damaged is refused`, async () => {
      writeFileSync(image('a.img'), randomBytes(4 * MIB));
      run(folder, tool, ...args, 'a.img');
      const packed = await readFile(image(`a.img${suffix}`));
      packed.fill(0x55, 2 * MIB, 2 * MIB + 4096);
      packed.fill(0x55, packed.length - 8);
      writeFileSync(image('b'), packed);
      expect(await failure('b')).toBe('IMAGE_CORRUPT');
    });

    it.skipIf(!hasTool(tool))(`with ${tool} that grows past the limit is refused`, async () => {
      writeFileSync(image('a.img'), Buffer.alloc(64 * MIB));
      run(folder, tool, ...args, 'a.img');
      expect(await failure(`a.img${suffix}`, { maxSizeBytes: 32 * MIB })).toBe('IMAGE_TOO_LARGE');
    });
  }

  it('twice is refused', async () => {
    writeFileSync(image('a'), gzipSync(gzipSync(CONTENT)));
    expect(await failure('a')).toBe('IMAGE_FORMAT_UNSUPPORTED');
  });

  it('holding nothing is refused', async () => {
    writeFileSync(image('a'), gzipSync(Buffer.alloc(0)));
    expect(await failure('a')).toBe('IMAGE_EMPTY');
  });

  it.skipIf(!hasTool('zstd'))('that asks for a window of 1 GiB is refused', async () => {
    writeFileSync(image('a'), randomBytes(2 * MIB));
    run(folder, 'sh', '-c', 'cat a a | zstd -q --ultra --long=30 -c > b.zst');
    expect(['IMAGE_FORMAT_UNSUPPORTED']).toContain(await codeOf(importing('b.zst')));
  });
});

describe.skipIf(!HAS_QEMU)('qcow2, where qemu-img is installed,', () => {
  const VARIANTS: readonly (readonly [string, readonly string[]])[] = [
    ['version 3', []],
    ['version 2', ['-o', 'compat=0.10']],
    ['with clusters of 512 bytes', ['-o', 'cluster_size=512']],
    ['with clusters of 2 MiB', ['-o', 'cluster_size=2M']],
    ['compressed', ['-c']],
    ['compressed with zstd', ['-c', '-o', 'compression_type=zstd']],
    ['with subclusters', ['-o', 'extended_l2=on,cluster_size=128k']],
    ['with lazy reference counts', ['-o', 'lazy_refcounts=on']],
    ['preallocated', ['-o', 'preallocation=metadata']],
  ];

  const make = (content: Buffer, ...args: readonly string[]): void => {
    writeFileSync(image('a.img'), content);
    run(folder, 'qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...args, 'a.img', 'a.qcow2');
  };

  it.each(VARIANTS)('%s gives the content that it was made of', async (_what, args) => {
    make(CONTENT, ...args);
    const result = await imported('a.qcow2', CONTENT);
    expect(result.format).toBe('qcow2');
  });

  it.each(['gzip', 'xz', 'zstd'].filter(hasTool))('packed with %s is unpacked', async (tool) => {
    make(CONTENT);
    const suffix = { gzip: 'gz', xz: 'xz', zstd: 'zst' }[tool] ?? '';
    run(folder, tool, '-k', 'a.qcow2');
    const result = await imported(`a.qcow2.${suffix}`, CONTENT);
    expect(result).toMatchObject({ format: 'qcow2', compression: tool });
  });

  it('whose virtual size is a million times its data costs no more than that', async () => {
    run(folder, 'qemu-img', 'create', '-q', '-f', 'qcow2', 'a.qcow2', '8T');
    run(folder, 'qemu-io', '-c', 'write -P 7 5T 1M', '-c', 'write -P 8 8191G 512', 'a.qcow2');
    const written = new Map<number, Buffer>();
    const result = await importImage({
      source: new FileSource(image('a.qcow2'), { maxBytes: MIB * MIB, folders: null }),
      options: optionsOf({ maxSizeBytes: 16 * MIB * MIB }),
      openSink: () =>
        Promise.resolve({
          writeCluster: (cluster, bytes) => {
            written.set(cluster, Buffer.from(bytes));
            return Promise.resolve();
          },
          finish: () => Promise.resolve(),
          close: () => Promise.resolve(),
        }),
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    expect([...written.keys()]).toEqual([5 * MIB, 8191 * 1024]);
    expect(written.get(5 * MIB)?.equals(Buffer.alloc(MIB, 7))).toBe(true);
    expect(result.content).toEqual({ sizeBytes: 8 * MIB * MIB, sums: null });
    expect(result.device.sums).toBeNull();
    expect((await stat(join(folder, 'digests'))).blocks).toBeLessThan(4096);
    expectNothingLeft();
  });

  it('over another file is refused, whatever it is', async () => {
    make(CONTENT);
    for (const backing of [
      'a.qcow2',
      '/etc/passwd',
      'nbd://127.0.0.1:1/x',
      'json:{"driver":"null-co"}',
    ]) {
      run(
        folder,
        'qemu-img',
        'create',
        '-q',
        '-u',
        '-f',
        'qcow2',
        '-F',
        'raw',
        '-b',
        backing,
        'b',
        '4M',
      );
      expect(await failure('b')).toBe('IMAGE_BACKING_FILE');
    }
  });

  it('with its data in another file is refused', async () => {
    run(folder, 'qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'data_file=d', 'a.qcow2', '4M');
    expect(await failure('a.qcow2')).toBe('IMAGE_DATA_FILE');
  });

  it('encrypted is refused', async () => {
    const secret = [
      '--object',
      'secret,id=s,data=x',
      '-o',
      'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10',
    ];
    run(folder, 'qemu-img', 'create', '-q', '-f', 'qcow2', ...secret, 'a.qcow2', '4M');
    expect(await failure('a.qcow2')).toBe('IMAGE_ENCRYPTED');
  });

  it('larger than is allowed is refused', async () => {
    run(folder, 'qemu-img', 'create', '-q', '-f', 'qcow2', 'a.qcow2', '8T');
    expect(await failure('a.qcow2')).toBe('IMAGE_TOO_LARGE');
  });

  it.each([
    ['in the middle', 2],
    ['at the end', 1.01],
  ])('cut off %s is refused', async (_what, share) => {
    make(randomBytes(8 * MIB));
    const file = await readFile(image('a.qcow2'));
    writeFileSync(image('b'), file.subarray(0, Math.floor(file.length / share)));
    expect(['IMAGE_TRUNCATED', 'IMAGE_CORRUPT']).toContain(await codeOf(importing('b')));
    expectNothingLeft();
  });

  it.each([false, true])(
    'whose tables go in a circle is refused (marked dirty: %s)',
    async (isDirty) => {
      const small = ['-o', 'cluster_size=4k'];
      run(folder, 'qemu-img', 'create', '-q', '-f', 'qcow2', ...small, 'a.qcow2', '4G');
      run(folder, 'qemu-io', '-c', 'write -P 7 0 2M', 'a.qcow2');
      const file = await readFile(image('a.qcow2'));
      const l1 = Number(file.readBigUInt64BE(40));
      const first = file.readBigUInt64BE(l1);
      for (let entry = 0; entry < 2048; entry += 1) file.writeBigUInt64BE(first, l1 + entry * 8);
      if (isDirty) file.writeBigUInt64BE(1n, 72);
      writeFileSync(image('b'), file);
      expect(await failure('b', { maxSizeBytes: 2 * MIB * MIB })).toBe('IMAGE_CORRUPT');
    },
  );

  it('of garbage behind a good header is refused, or is content', async () => {
    make(CONTENT);
    const file = await readFile(image('a.qcow2'));
    randomBytes(file.length - 512).copy(file, 512);
    writeFileSync(image('b'), file);
    expect(await codeOf(importing('b'))).toBe('IMAGE_CORRUPT');
    expectNothingLeft();
  });

  it('said to be raw is refused', async () => {
    make(CONTENT);
    expect(await failure('a.qcow2', { format: 'raw' })).toBe('IMAGE_FORMAT_MISMATCH');
  });

  it.skipIf(!hasTool('mkfs.ext4'))('with a file system checks clean afterwards', async () => {
    run(folder, 'mkfs.ext4', '-q', '-F', 'a.img', '64M');
    const content = await readFile(image('a.img'));
    run(folder, 'qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', 'a.img', 'a.qcow2');
    const { sink, result } = importing('a.qcow2');
    await result;
    expect(sink.content.equals(content)).toBe(true);
    writeFileSync(image('out.img'), sink.content);
    run(folder, 'e2fsck', '-n', '-f', 'out.img');
  });
});

describe('a checksum', () => {
  const { sha256, sha512 } = sumsOf(CONTENT);

  it.each([`sha256:${sha256}`, `sha512:${sha512}`])(
    'that is right lets the import pass: %s',
    async (text) => {
      writeFileSync(image('a.img'), CONTENT);
      expect(await imported('a.img', CONTENT, { checksum: parseChecksum(text) })).toHaveProperty(
        'device',
      );
    },
  );

  it('is that of the packed file, not of what is in it', async () => {
    const packed = gzipSync(CONTENT);
    writeFileSync(image('a.gz'), packed);
    const checksum = parseChecksum(`sha256:${sumsOf(packed).sha256}`);
    expect(await imported('a.gz', CONTENT, { checksum })).toHaveProperty('device');
    expect(
      await failure('a.gz', {
        checksum: parseChecksum(`sha256:${sha256}`),
      }),
    ).toBe('IMAGE_CHECKSUM_MISMATCH');
  });

  it('that is wrong ends the import, with both sums as evidence', async () => {
    writeFileSync(image('a.img'), CONTENT);
    const expected = `sha512:${'0'.repeat(128)}`;
    const { sink, result } = importing('a.img', { checksum: parseChecksum(expected) });
    const error = await result.then(() => null, toLariatError);
    expect(error).toMatchObject({
      code: 'IMAGE_CHECKSUM_MISMATCH',
      details: { expected, found: `sha512:${sha512}`, sha256, sha512 },
    });
    expect(sink.isFinished).toBe(false);
    expect(sink.isClosed).toBe(true);
    expectNothingLeft();
  });

  it.skipIf(!HAS_QEMU)(
    'that is wrong ends the import of a qcow2 before it is looked into',
    async () => {
      writeFileSync(image('a.img'), CONTENT);
      run(folder, 'qemu-img', 'convert', '-O', 'qcow2', 'a.img', 'a.qcow2');
      const begun = importing('a.qcow2', {
        checksum: parseChecksum(`sha256:${'0'.repeat(64)}`),
      });
      expect(await codeOf(begun)).toBe('IMAGE_CHECKSUM_MISMATCH');
      expect(begun.sink.content).toHaveLength(0);
    },
  );
});

describe('an image from a server', () => {
  const SETTINGS: HttpSettings = {
    ...DEFAULT_HTTP_SETTINGS,
    allowedAddresses: parseAllowList(['127.0.0.1']),
    proxy: { httpProxy: '', httpsProxy: '', noProxy: '' },
    maxBytes: 1024 * MIB,
    backoff: { initialMs: 1, maxMs: 2, factor: 2 },
  };

  it.each([
    ['that tells its size and is cut off', { etag: '"a"', cutAfterBytes: 9 * MIB + 7 }],
    ['that does not tell its size', { chunked: true }],
  ])('%s is imported', async (_what, served) => {
    const server = await imageServer((request, response) =>
      serve(CONTENT, request, response, served),
    );
    const sink = new MemorySink();
    const result = await importImage({
      source: new HttpSource(server.url, SETTINGS),
      options: optionsOf({ checksum: parseChecksum(`sha512:${sumsOf(CONTENT).sha512}`) }),
      openSink: sink.open,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    await server.close();
    expect(sink.content.equals(padded(CONTENT))).toBe(true);
    expect(result.file.sums).toEqual(sumsOf(CONTENT));
    expect(result.device.rootDigest).toBe(rootDigestOf(padded(CONTENT)));
    expectNothingLeft();
  });

  it('that falls silent is given up when the import is cancelled', async () => {
    const server = await imageServer((_request, response) => {
      response.writeHead(200, { 'content-length': '99999999' }).write(CONTENT.subarray(0, MIB));
    });
    const stop = new AbortController();
    const sink = new MemorySink();
    const ended = importImage({
      source: new HttpSource(server.url, SETTINGS),
      options: optionsOf(),
      openSink: sink.open,
      signal: stop.signal,
      onProgress: () => setTimeout(() => stop.abort(), 20),
    });
    await expect(ended).rejects.toMatchObject({ code: 'OPERATION_CANCELLED' });
    await server.close();
    expect(sink.isFinished).toBe(false);
    expectNothingLeft();
  });
});

describe('what is no image', () => {
  it('for being empty is refused', async () => {
    writeFileSync(image('a'), '');
    expect(await failure('a')).toBe('IMAGE_EMPTY');
  });

  it('but a web page is refused', async () => {
    writeFileSync(image('a'), '<!DOCTYPE html><html><body>Not found</body></html>');
    expect(await failure('a')).toBe('IMAGE_FORMAT_UNSUPPORTED');
  });

  it('for want of a file is refused', async () => {
    expect(await failure('missing')).toBe('IMAGE_SOURCE_NOT_FOUND');
  });

  it('for its size is refused before it is read', async () => {
    writeFileSync(image('a'), CONTENT);
    const begun = importing('a', { maxSizeBytes: MIB });
    expect(await codeOf(begun)).toBe('IMAGE_TOO_LARGE');
    expect(begun.sink.content).toHaveLength(0);
  });
});

describe.skipIf(!canMount())(
  'a full disk for temporary files, where this user can mount one,',
  () => {
    const withFullDisk = async (sizeBytes: number, work: () => Promise<void>): Promise<void> => {
      mkdirSync(scratchParent);
      run(folder, 'mount', '-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'none', scratchParent);
      try {
        await work();
      } finally {
        run(folder, 'umount', scratchParent);
      }
    };

    it('ends the import of what has to be unpacked first', async () => {
      writeFileSync(image('a.gz'), gzipSync(randomBytes(8 * MIB)));
      await withFullDisk(4 * MIB, async () => {
        expect(await failure('a.gz')).toBe('IMAGE_SCRATCH_FULL');
      });
    });

    it.skipIf(!HAS_QEMU)('ends the import of a qcow2 that grows', async () => {
      writeFileSync(image('a.img'), Buffer.alloc(32 * MIB, 7));
      run(folder, 'qemu-img', 'convert', '-O', 'qcow2', '-c', 'a.img', 'a.qcow2');
      await withFullDisk(8 * MIB, async () => {
        expect(await failure('a.qcow2')).toBe('IMAGE_SCRATCH_FULL');
      });
    });
  },
);

describe('an import that ends early', () => {
  it('for a sink that fails says so, and leaves nothing', async () => {
    writeFileSync(image('a.img'), randomBytes(24 * MIB));
    const sink = new MemorySink();
    let open = 0;
    const failing = importImage({
      source: new FileSource(image('a.img'), { maxBytes: 1024 * MIB, folders: null }),
      options: optionsOf(),
      openSink: () =>
        Promise.resolve({
          writeCluster: async (cluster) => {
            open += 1;
            await new Promise((resolve) => setTimeout(resolve, 5));
            open -= 1;
            if (cluster === 3) throw new Error('the disk is on fire');
          },
          finish: () => sink.finish(),
          // Whatever is under way has ended by now.
          close: () => (open === 0 ? sink.close() : Promise.reject(new Error('still writing'))),
        }),
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    await expect(failing).rejects.toThrow('the disk is on fire');
    expect(sink.isClosed).toBe(true);
    expect(sink.isFinished).toBe(false);
    expectNothingLeft();
  });

  const CASES = ['a.img', 'a.img.gz', 'a.img.xz', 'a.img.zst', 'a.qcow2', 'a.qcow2.xz'] as const;
  const canMake = (name: string): boolean =>
    (!name.includes('qcow2') || HAS_QEMU) &&
    (!name.endsWith('.xz') || hasTool('xz')) &&
    (!name.endsWith('.zst') || hasTool('zstd'));

  for (const name of CASES) {
    it.skipIf(!canMake(name))(`by cancel, at any time, leaves nothing of ${name}`, async () => {
      writeFileSync(image('a.img'), CONTENT);
      if (HAS_QEMU) run(folder, 'qemu-img', 'convert', '-O', 'qcow2', 'a.img', 'a.qcow2');
      const inner = name.startsWith('a.qcow2') ? 'a.qcow2' : 'a.img';
      if (name.endsWith('.gz')) run(folder, 'gzip', '-k', '-1', inner);
      if (name.endsWith('.xz')) run(folder, 'xz', '-k', '-0', inner);
      if (name.endsWith('.zst')) run(folder, 'zstd', '-q', '-k', inner);
      const whole = performance.now();
      await importing(name).result;
      const tookMs = performance.now() - whole;
      for (const share of [0, 0.2, 0.4, 0.6, 0.8]) {
        const stop = new AbortController();
        const timer = setTimeout(() => stop.abort(), tookMs * share);
        const begun = importing(name, {}, stop.signal);
        const code = await codeOf(begun);
        clearTimeout(timer);
        expect(['OPERATION_CANCELLED', ...(share > 0.5 ? ['done'] : [])]).toContain(code);
        expect(begun.sink.isFinished).toBe(code === 'done');
        expectNothingLeft();
      }
    });
  }

  it('by cancel, before it began, does nothing', async () => {
    writeFileSync(image('a.img'), CONTENT);
    const begun = importing('a.img', {}, AbortSignal.abort());
    expect(await codeOf(begun)).toBe('OPERATION_CANCELLED');
    expect(begun.sink.content).toHaveLength(0);
    expectNothingLeft();
  });
});
