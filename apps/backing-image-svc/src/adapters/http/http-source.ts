import { describeUrl } from '../../domain/source-url.js';
import type { ByteReader, ImageSource } from '../../ports/byte-reader.port.js';
import { guardedDispatcher } from './guarded-dispatcher.js';
import { HttpReader } from './http-reader.js';
import type { HttpSettings } from './http-settings.js';

/** An image at an http or https url. */
export class HttpSource implements ImageSource {
  readonly description: string;

  constructor(
    private readonly url: URL,
    private readonly settings: HttpSettings,
  ) {
    this.description = describeUrl(url);
  }

  async open(signal: AbortSignal): Promise<ByteReader> {
    const { url, settings } = this;
    const reader = new HttpReader(url, settings, guardedDispatcher(settings), signal);
    try {
      await reader.start();
      return reader;
    } catch (reason) {
      await reader.close();
      throw reason;
    }
  }
}

/** The whole of a small file, such as SHA256SUMS. */
export async function fetchText(
  url: URL,
  settings: HttpSettings,
  signal: AbortSignal,
): Promise<string> {
  const reader = await new HttpSource(url, settings).open(signal);
  try {
    const chunks: Buffer[] = [];
    for (;;) {
      const chunk = Buffer.alloc(64 * 1024);
      const length = await reader.read(chunk);
      if (length === 0) return Buffer.concat(chunks).toString('utf8');
      chunks.push(chunk.subarray(0, length));
    }
  } finally {
    await reader.close();
  }
}
