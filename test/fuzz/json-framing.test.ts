import { JsonDocumentSplitter, JsonFramingError } from '@lariat/spdk';
import { expect, test } from 'vitest';
import { fuzz } from './support/fuzz.js';
import { mutateBytes } from './support/mutate-bytes.js';
import { rpcRequests } from './support/rpc-requests.js';

/** Documents that come out, and whether the stream broke. */
function framed(chunks: readonly Buffer[]): { documents: string[]; broke: boolean } {
  const splitter = new JsonDocumentSplitter({ maxDocumentBytes: 4096 });
  const documents: string[] = [];
  try {
    for (const chunk of chunks) {
      splitter.push(chunk, (document) => documents.push(document.toString('latin1')));
    }
  } catch (error) {
    if (!(error instanceof JsonFramingError)) throw error;
    return { documents, broke: true };
  }
  return { documents, broke: false };
}

test('the framing of JSON gives the same documents however the bytes are split', async () => {
  const requests = rpcRequests({ scratchFile: '/scratch', port: '4420' });
  await fuzz({
    name: 'json-framing',
    lanes: 1,
    iterate: async (random, iteration) => {
      const stream = Buffer.concat(
        Array.from({ length: 1 + random.below(4) }, () => {
          const [method, params] = random.pick(requests);
          const document = Buffer.from(JSON.stringify({ id: iteration, method, params }));
          return random.chance(0.5) ? document : mutateBytes(document, random);
        }),
      );
      const chunks: Buffer[] = [];
      for (let at = 0; at < stream.length;) {
        const length = 1 + random.below(random.pick([1, 8, 300]));
        chunks.push(stream.subarray(at, at + length));
        at += length;
      }
      expect(framed(chunks)).toEqual(framed([stream]));
      // The checks, and the clock, get their turn.
      if (iteration % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    },
    check: async () => undefined,
  });
});
