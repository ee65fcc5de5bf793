import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { parseAllowList } from '../../domain/address-guard.js';
import { formatChecksum } from '../../domain/checksum.js';
import {
  closing,
  codeOf,
  CONTENT,
  ETAG,
  fetched,
  NEVER,
  serving,
  SETTINGS,
  sha256,
} from '../../testing/http-lab.js';
import { imageServer, serve } from '../../testing/image-server.js';
import { readAll } from '../../testing/read-all.js';
import { expectedChecksum } from './expected-checksum.js';
import { HttpSource } from './http-source.js';

describe('a download', () => {
  it('is the file, and its size is known before', async () => {
    const server = await serving((request, response) => serve(CONTENT, request, response));
    const reader = await new HttpSource(server.url, SETTINGS).open(NEVER);
    expect(reader.totalBytes).toBe(CONTENT.length);
    expect(sha256(await readAll(reader))).toBe(sha256(CONTENT));
    await reader.close();
  });

  it('goes on where it was cut off, held to the same file by its ETag', async () => {
    const server = await serving((request, response) =>
      serve(CONTENT, request, response, { etag: ETAG, cutAfterBytes: 1_000_000 }),
    );
    expect(await fetched(server.url)).toBe(sha256(CONTENT));
    expect(server.requests.length).toBeGreaterThan(3);
    const [first, second] = server.requests;
    expect(first?.headers.range).toBeUndefined();
    expect(second?.headers.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(second?.headers['if-range']).toBe(ETAG);
  });

  it.each([
    ['without ranges', { etag: ETAG, ranges: false }],
    ['without ranges and validators', { ranges: false }],
    ['with ranges, but nothing to hold it to the file', {}],
    ['with a weak ETag only', { etag: 'W/"one"' }],
    ['that tells no length', { chunked: true }],
  ])('starts again with a server %s, and goes on after what it has', async (_what, served) => {
    const server = await serving((request, response, nth) =>
      serve(CONTENT, request, response, {
        ...served,
        ...(nth === 0 ? { cutAfterBytes: 2_000_000 } : {}),
      }),
    );
    expect(await fetched(server.url)).toBe(sha256(CONTENT));
    expect(server.requests).toHaveLength(2);
  });

  it('ends with an error when the file has another ETag at the next try', async () => {
    const server = await serving((request, response, nth) =>
      serve(CONTENT, request, response, { etag: `"${nth}"`, cutAfterBytes: 1_000_000 }),
    );
    expect(await codeOf(fetched(server.url))).toBe('IMAGE_SOURCE_CHANGED');
  });

  it('ends with an error when the file differs at the next try, although no header tells', async () => {
    const other = Buffer.from(CONTENT);
    other[5] = (other[5] ?? 0) ^ 1;
    const server = await serving((request, response, nth) =>
      serve(nth === 0 ? CONTENT : other, request, response, { cutAfterBytes: 2_000_000 }),
    );
    expect(await codeOf(fetched(server.url))).toBe('IMAGE_SOURCE_CHANGED');
  });

  it('ends with an error when the file has another length at the next try', async () => {
    const server = await serving((request, response, nth) =>
      serve(CONTENT.subarray(nth), request, response, { cutAfterBytes: 2_000_000 }),
    );
    expect(await codeOf(fetched(server.url))).toBe('IMAGE_SOURCE_CHANGED');
  });

  it.each([
    ['ends early each time', { etag: ETAG, cutAfterBytes: 100_000 }],
    ['ends early each time, without ranges', { ranges: false, cutAfterBytes: 100_000 }],
  ])('is given up when it %s', async (_what, served) => {
    const server = await serving((request, response, nth) =>
      serve(CONTENT, request, response, nth === 0 ? served : { ...served, cutAfterBytes: 1 }),
    );
    expect(await codeOf(fetched(server.url))).toBe('IMAGE_TRUNCATED');
    expect(server.requests.length).toBeLessThanOrEqual(SETTINGS.retry.maxFailures + 1);
  });

  it('goes on after answers that ask for patience', async () => {
    const server = await serving((request, response, nth) => {
      if (nth < 3) response.writeHead([503, 429, 502][nth] ?? 500).end('later');
      else serve(CONTENT, request, response);
    });
    expect(await fetched(server.url)).toBe(sha256(CONTENT));
  });

  it.each([
    [404, 'IMAGE_SOURCE_NOT_FOUND'],
    [403, 'IMAGE_SOURCE_REFUSED'],
    [400, 'IMAGE_SOURCE_REFUSED'],
    [204, 'IMAGE_SOURCE_REFUSED'],
    [206, 'IMAGE_SOURCE_INCONSISTENT'],
    [416, 'IMAGE_SOURCE_INCONSISTENT'],
  ])('ends at once at status %i with %s', async (status, code) => {
    const server = await serving((_request, response) => {
      response.writeHead(status).end();
    });
    expect(await codeOf(fetched(server.url))).toBe(code);
    expect(server.requests).toHaveLength(1);
  });

  it('ends with an error when a range is not the one that was asked for', async () => {
    const server = await serving((request, response, nth) => {
      if (nth === 0) return serve(CONTENT, request, response, { etag: ETAG, cutAfterBytes: 1000 });
      response.setHeader('content-range', `bytes 0-99/${CONTENT.length}`);
      response.writeHead(206).end(CONTENT.subarray(0, 100));
    });
    expect(await codeOf(fetched(server.url))).toBe('IMAGE_SOURCE_INCONSISTENT');
  });

  it('ends with an error when a part is longer than was told', async () => {
    const server = await serving((request, response, nth) => {
      if (nth === 0) return serve(CONTENT, request, response, { etag: ETAG, cutAfterBytes: 1000 });
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
      const last = CONTENT.length - 1;
      response.setHeader('content-range', `bytes ${from}-${last}/${CONTENT.length}`);
      response.writeHead(206).end(Buffer.concat([CONTENT.subarray(from), Buffer.from('more')]));
    });
    expect(await codeOf(fetched(server.url))).toBe('IMAGE_SOURCE_INCONSISTENT');
  });

  it.each([
    ['told', false],
    ['sent', true],
  ])('ends with an error when more is %s than is allowed', async (_what, chunked) => {
    const server = await serving((request, response) =>
      serve(CONTENT, request, response, { chunked }),
    );
    expect(await codeOf(fetched(server.url, { maxBytes: 1_000_000 }))).toBe('IMAGE_TOO_LARGE');
  });

  it('ends with an error at what is not HTTP', async () => {
    const server = createServer((socket) => socket.resume().end(randomBytes(512)));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closing.push(() => new Promise((resolve) => server.close(() => resolve())));
    const { port } = server.address() as AddressInfo;
    const url = new URL(`http://127.0.0.1:${port}/`);
    expect(await codeOf(fetched(url))).toBe('IMAGE_SOURCE_UNAVAILABLE');
  });

  it('ends with an error when nobody listens', async () => {
    const server = await imageServer(() => undefined);
    await server.close();
    expect(await codeOf(fetched(server.url))).toBe('IMAGE_SOURCE_UNAVAILABLE');
  });
});

describe('a slow server', () => {
  it('that falls silent is tried again, and then given up', async () => {
    const server = await serving((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('x');
    });
    expect(await codeOf(fetched(server.url, { idleTimeoutMs: 20 }))).toBe('IMAGE_SOURCE_TOO_SLOW');
  });

  it('that trickles is given up, although it never falls silent', async () => {
    const server = await serving((_request, response) => {
      response.writeHead(200, { 'content-length': '1000000', etag: ETAG });
      const timer = setInterval(() => response.write('x'), 2);
      response.on('close', () => clearInterval(timer));
    });
    const rate = { minBytesPerSecond: 10_000, windowMs: 50 };
    expect(await codeOf(fetched(server.url, { rate }))).toBe('IMAGE_SOURCE_TOO_SLOW');
  });

  it('is not to blame for a reader that takes its time', async () => {
    const server = await serving((request, response) => serve(CONTENT, request, response));
    const rate = { minBytesPerSecond: 1_000_000_000, windowMs: 10_000 };
    const reader = await new HttpSource(server.url, { ...SETTINGS, rate, idleTimeoutMs: 50 }).open(
      NEVER,
    );
    const into = Buffer.alloc(1024 * 1024);
    let total = await reader.read(into);
    // Longer than the server may be silent: here it is the reader who is.
    await new Promise((resolve) => setTimeout(resolve, 120));
    for (let got = 1; got > 0; total += got) got = await reader.read(into);
    expect(total).toBe(CONTENT.length);
    await reader.close();
  });
});

describe('redirects', () => {
  it('are followed', async () => {
    const server = await serving((request, response, nth) => {
      if (nth < 3) response.writeHead(302, { location: `/hop-${nth}` }).end();
      else serve(CONTENT, request, response);
    });
    expect(await fetched(server.url)).toBe(sha256(CONTENT));
  });

  it('without an end are not', async () => {
    const server = await serving((_request, response, nth) => {
      response.writeHead(307, { location: `/hop-${nth}` }).end();
    });
    expect(await codeOf(fetched(server.url))).toBe('IMAGE_REDIRECT_REFUSED');
    expect(server.requests).toHaveLength(SETTINGS.maxRedirects + 1);
  });

  it.each(['file:///etc/passwd', 'ftp://example.org/', 'http://[::', 'gopher://x'])(
    'to %s are not',
    async (location) => {
      const server = await serving((_request, response) => {
        response.writeHead(302, { location }).end();
      });
      expect(await codeOf(fetched(server.url))).toBe('IMAGE_REDIRECT_REFUSED');
    },
  );

  it('take no password along to another host', async () => {
    const other = await serving((request, response) => serve(CONTENT, request, response));
    const server = await serving((_request, response) => {
      response.writeHead(302, { location: other.url.href }).end();
    });
    const url = new URL(server.url);
    url.username = 'user';
    url.password = 'pass word';
    expect(await fetched(url)).toBe(sha256(CONTENT));
    expect(server.requests[0]?.headers.authorization).toBe(
      `Basic ${Buffer.from('user:pass word').toString('base64')}`,
    );
    expect(other.requests[0]?.headers.authorization).toBeUndefined();
    expect(new HttpSource(url, SETTINGS).description).not.toContain('pass');
  });

  it('to an address inside are not, with the address open and with a name', async () => {
    for (const host of ['127.0.0.2', '[::1]', '[::ffff:127.0.0.2]']) {
      const server = await serving((_request, response) => {
        response.writeHead(302, { location: `http://${host}:${server.url.port}/` }).end();
      });
      const allowedAddresses = parseAllowList(['127.0.0.1/32']);
      expect(await codeOf(fetched(server.url, { allowedAddresses }))).toBe('IMAGE_SOURCE_BLOCKED');
    }
  });
});

describe('the checksum that a user asks for', () => {
  const sum = `sha256:${sha256(CONTENT)}`;
  const of = (text: string, settings = SETTINGS): Promise<string> =>
    expectedChecksum(text, 'debian.img', settings, NEVER).then(formatChecksum);

  it('is a sum, or stands in a file at a url', async () => {
    const list = Buffer.from(`${sha256(CONTENT)}  debian.img\n${'0'.repeat(64)}  other.img\n`);
    const server = await serving((request, response) => serve(list, request, response));
    expect(await of(sum)).toBe(sum);
    expect(await of(server.url.href)).toBe(sum);
    expect(await codeOf(of('ftp://x/SHA256SUMS'))).toBe('IMAGE_CHECKSUM_INVALID');
  });

  it('is not looked for in a file of megabytes', async () => {
    const huge = Buffer.alloc(5 * 1024 * 1024, 'x');
    const server = await serving((request, response) => serve(huge, request, response));
    expect(await codeOf(of(server.url.href))).toBe('IMAGE_TOO_LARGE');
  });
});

it('stops at once when it is cancelled', async () => {
  const server = await serving((_request, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('x');
  });
  const stop = new AbortController();
  const reader = await new HttpSource(server.url, SETTINGS).open(stop.signal);
  const into = Buffer.alloc(100);
  await reader.read(into);
  const reading = codeOf(reader.read(into));
  stop.abort();
  expect(await reading).toBe('OPERATION_CANCELLED');
  await reader.close();
});
