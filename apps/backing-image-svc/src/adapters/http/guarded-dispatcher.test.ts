import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAllowList } from '../../domain/address-guard.js';
import { closing, codeOf, CONTENT, fetched, serving, sha256 } from '../../testing/http-lab.js';
import { serve } from '../../testing/image-server.js';
import { hasTool, run } from '../../testing/images.js';
import type { HttpSettings } from './http-settings.js';

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
