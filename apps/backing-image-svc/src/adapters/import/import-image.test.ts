import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { MIB, toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { parseAllowList } from '../../domain/address-guard.js';
import { parseChecksum } from '../../domain/checksum.js';
import { imageServer, serve } from '../../testing/image-server.js';
import { hasTool, padded, rootDigestOf, sparseContent, sumsOf } from '../../testing/images.js';
import {
  codeOf,
  expectNothingLeft,
  failure,
  imported,
  importing,
  lab,
  optionsOf,
  environmentOf,
} from '../../testing/import-lab.js';
import { MemorySink } from '../../testing/memory-sink.js';
import { DEFAULT_HTTP_SETTINGS, type HttpSettings } from '../http/http-settings.js';
import { HttpSource } from '../http/http-source.js';
import { importImage } from './import-image.js';

const HAS_QEMU = hasTool('qemu-img');
const CONTENT = sparseContent(24 * MIB + 5 * 512);

describe('a checksum', () => {
  const { sha256, sha512 } = sumsOf(CONTENT);

  it.each([`sha256:${sha256}`, `sha512:${sha512}`])(
    'that is right lets the import pass: %s',
    async (text) => {
      writeFileSync(lab.image('a.img'), CONTENT);
      expect(await imported('a.img', CONTENT, { checksum: parseChecksum(text) })).toHaveProperty(
        'device',
      );
    },
  );

  it('is that of the packed file, not of what is in it', async () => {
    const packed = gzipSync(CONTENT);
    writeFileSync(lab.image('a.gz'), packed);
    const checksum = parseChecksum(`sha256:${sumsOf(packed).sha256}`);
    expect(await imported('a.gz', CONTENT, { checksum })).toHaveProperty('device');
    expect(
      await failure('a.gz', {
        checksum: parseChecksum(`sha256:${sha256}`),
      }),
    ).toBe('IMAGE_CHECKSUM_MISMATCH');
  });

  it('that is wrong ends the import, with both sums as evidence', async () => {
    writeFileSync(lab.image('a.img'), CONTENT);
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
      writeFileSync(lab.image('a.img'), CONTENT);
      lab.run('qemu-img', 'convert', '-O', 'qcow2', 'a.img', 'a.qcow2');
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
      environment: environmentOf(),
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
      environment: environmentOf(),
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
    writeFileSync(lab.image('a'), '');
    expect(await failure('a')).toBe('IMAGE_EMPTY');
  });

  it('but a web page is refused', async () => {
    writeFileSync(lab.image('a'), '<!DOCTYPE html><html><body>Not found</body></html>');
    expect(await failure('a')).toBe('IMAGE_FORMAT_UNSUPPORTED');
  });

  it('for want of a file is refused', async () => {
    expect(await failure('missing')).toBe('IMAGE_SOURCE_NOT_FOUND');
  });

  it('for its size is refused before it is read', async () => {
    writeFileSync(lab.image('a'), CONTENT);
    const begun = importing('a', { maxSizeBytes: MIB });
    expect(await codeOf(begun)).toBe('IMAGE_TOO_LARGE');
    expect(begun.sink.content).toHaveLength(0);
  });
});
