import { createHash, randomBytes } from 'node:crypto';
import { toLariatError } from '@lariat/kernel';
import { afterEach } from 'vitest';
import { DEFAULT_HTTP_SETTINGS, type HttpSettings } from '../adapters/http/http-settings.js';
import { HttpSource } from '../adapters/http/http-source.js';
import { parseAllowList } from '../domain/address-guard.js';
import { type Answering, imageServer } from './image-server.js';
import { readAll } from './read-all.js';

export const CONTENT = randomBytes(3 * 1024 * 1024 + 17);
export const ETAG = '"one"';
export const NEVER: AbortSignal = new AbortController().signal;

export const SETTINGS: HttpSettings = {
  ...DEFAULT_HTTP_SETTINGS,
  allowedAddresses: parseAllowList(['127.0.0.0/8']),
  proxy: { httpProxy: '', httpsProxy: '', noProxy: '' },
  maxBytes: 1024 ** 3,
  backoff: { initialMs: 1, maxMs: 2, factor: 2 },
};

export const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

export async function serving(answer: Answering): Promise<Awaited<ReturnType<typeof imageServer>>> {
  const server = await imageServer(answer);
  closing.push(() => server.close());
  return server;
}

export async function fetched(url: URL, settings: Partial<HttpSettings> = {}): Promise<string> {
  const source = new HttpSource(url, { ...SETTINGS, ...settings });
  const reader = await source.open(NEVER);
  try {
    return sha256(await readAll(reader));
  } finally {
    await reader.close();
  }
}

export const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');
export const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (reason: unknown) => toLariatError(reason).code,
  );
