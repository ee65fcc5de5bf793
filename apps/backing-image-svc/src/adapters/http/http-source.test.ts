import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { toLariatError } from '@lariat/kernel';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseAllowList } from '../../domain/address-guard.js';
import { formatChecksum } from '../../domain/checksum.js';
import { hasTool, run } from '../../testing/images.js';
import { type Answering, imageServer, serve } from '../../testing/image-server.js';
import { readAll } from '../../testing/read-all.js';
import { expectedChecksum } from './expected-checksum.js';
import { DEFAULT_HTTP_SETTINGS, type HttpSettings } from './http-settings.js';
import { HttpSource } from './http-source.js';

const CONTENT = randomBytes(3 * 1024 * 1024 + 17);
const ETAG = '"one"';
const NEVER = new AbortController().signal;

const SETTINGS: HttpSettings = {
  ...DEFAULT_HTTP_SETTINGS,
  allowedAddresses: parseAllowList(['127.0.0.0/8']),
  proxy: { httpProxy: '', httpsProxy: '', noProxy: '' },
  maxBytes: 1024 ** 3,
  backoff: { initialMs: 1, maxMs: 2, factor: 2 },
};

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function serving(answer: Answering): Promise<Awaited<ReturnType<typeof imageServer>>> {
  const server = await imageServer(answer);
  closing.push(() => server.close());
  return server;
}

async function fetched(url: URL, settings: Partial<HttpSettings> = {}): Promise<string> {
  const source = new HttpSource(url, { ...SETTINGS, ...settings });
  const reader = await source.open(NEVER);
  try {
    return sha256(await readAll(reader));
  } finally {
    await reader.close();
  }
}

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (reason: unknown) => toLariatError(reason).code,
  );

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

describe('the guard of addresses', () => {
  const allowedAddresses = parseAllowList([]);

  it('refuses an address in the url', async () => {
    const server = await serving((request, response) => serve(CONTENT, request, response));
    expect(await codeOf(fetched(server.url, { allowedAddresses }))).toBe('IMAGE_SOURCE_BLOCKED');
    expect(server.requests).toHaveLength(0);
  });

  it('refuses a name by what it is connected to, and connects where it is allowed', async () => {
    const server = await serving((request, response) => serve(CONTENT, request, response));
    const url = new URL(server.url);
    url.hostname = 'localhost';
    expect(await codeOf(fetched(url, { allowedAddresses }))).toBe('IMAGE_SOURCE_BLOCKED');
    expect(server.requests).toHaveLength(0);
    expect(await fetched(url)).toBe(sha256(CONTENT));
  });
});

describe.skipIf(!hasTool('openssl'))(
  'a server with TLS, where openssl is installed to make its certificate,',
  () => {
    let folder: string;
    let url: URL;
    let certificate: string;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'lariat-tls-'));
      const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
      const files = ['-keyout', 'key.pem', '-out', 'cert.pem', '-days', '2'];
      run(folder, 'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...files, ...names);
      certificate = readFileSync(join(folder, 'cert.pem'), 'utf8');
      const key = readFileSync(join(folder, 'key.pem'));
      const server = createHttpsServer({ key, cert: certificate }, (request, response) => {
        if (request.url === '/down')
          response.writeHead(302, { location: 'http://localhost/' }).end();
        else serve(CONTENT, request, response);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      url = new URL(`https://localhost:${(server.address() as AddressInfo).port}/a.img`);
      return async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
        rmSync(folder, { recursive: true });
      };
    });

    it('is refused at once while nobody vouches for it', async () => {
      expect(await codeOf(fetched(url))).toBe('IMAGE_SOURCE_REFUSED');
    });

    it('is trusted when its certificate is, for its own name alone', async () => {
      expect(await fetched(url, { extraCa: certificate })).toBe(sha256(CONTENT));
      const other = new URL(url);
      other.hostname = '127.0.0.1';
      expect(await codeOf(fetched(other, { extraCa: certificate }))).toBe('IMAGE_SOURCE_REFUSED');
    });

    it('does not lead to one without', async () => {
      const down = new URL('/down', url);
      expect(await codeOf(fetched(down, { extraCa: certificate }))).toBe('IMAGE_REDIRECT_REFUSED');
    });
  },
);

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

describe('a proxy', () => {
  const throughProxy = (proxy: URL, noProxy: string): Partial<HttpSettings> => ({
    // It is where the operator says, and needs no entry in the list.
    allowedAddresses: parseAllowList([]),
    proxy: { httpProxy: `http://${proxy.host}`, httpsProxy: '', noProxy },
  });

  it('is asked for what is outside', async () => {
    const proxy = await serving((request, response) => serve(CONTENT, request, response));
    const url = new URL('http://images.test/debian.img');
    expect(await fetched(url, throughProxy(proxy.url, ''))).toBe(sha256(CONTENT));
    expect(proxy.requests[0]?.url).toBe(url.href);
  });

  it('is not asked for the hosts that are excepted, nor for addresses inside', async () => {
    const proxy = await serving((request, response) => serve(CONTENT, request, response));
    const direct = await serving((request, response) => serve(CONTENT, request, response));
    const settings = throughProxy(proxy.url, '127.0.0.1');
    const allowedAddresses = parseAllowList(['127.0.0.1']);
    expect(await fetched(direct.url, { ...settings, allowedAddresses })).toBe(sha256(CONTENT));
    const inside = new URL('http://10.0.0.1/');
    expect(await codeOf(fetched(inside, settings))).toBe('IMAGE_SOURCE_BLOCKED');
    expect(proxy.requests).toHaveLength(0);
  });

  it('that never answers is given up', async () => {
    const sockets = new Set<Socket>();
    const proxy = createServer((socket) => sockets.add(socket.resume()));
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => proxy.close(() => resolve()));
    });
    const { port } = proxy.address() as AddressInfo;
    const settings = {
      ...throughProxy(new URL(`http://127.0.0.1:${port}`), ''),
      connectTimeoutMs: 20,
      answerTimeoutMs: 20,
    };
    const secure = { ...settings.proxy, httpsProxy: `http://127.0.0.1:${port}` };
    const url = new URL('https://images.test/debian.img');
    expect(
      await codeOf(fetched(url, { ...settings, proxy: { httpProxy: '', noProxy: '', ...secure } })),
    ).toBe('IMAGE_SOURCE_UNAVAILABLE');
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
