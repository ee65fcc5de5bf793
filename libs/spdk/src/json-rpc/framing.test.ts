import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { JsonDocumentSplitter, JsonFramingError } from './framing.js';

const DOCUMENTS = [
  '{"a":"}{\\"]\\\\"}',
  '[{"b":[1,2,{"c":"\\u00e9é€😀"}]},[]]',
  '"a \\"string\\" with [ and {"',
  '{}',
  '-12.5e3',
  'true',
  'null',
  '{"last":"\\\\"}',
];

function split(chunks: readonly Buffer[], maxDocumentBytes = 1024): string[] {
  const splitter = new JsonDocumentSplitter({ maxDocumentBytes });
  const documents: string[] = [];
  for (const chunk of chunks)
    splitter.push(chunk, (document) => documents.push(document.toString('utf8')));
  return documents;
}

describe('JsonDocumentSplitter', () => {
  const stream = Buffer.from(
    `${DOCUMENTS.slice(0, 4).join('')} ${DOCUMENTS.slice(4).join('\r\n\t ')}`,
  );

  test('gives the same documents for a split at every byte', () => {
    for (let at = 0; at <= stream.length; at += 1) {
      expect(split([stream.subarray(0, at), stream.subarray(at)])).toEqual(DOCUMENTS);
    }
  });

  test('gives the same documents byte by byte', () => {
    expect(split([...stream].map((byte) => Buffer.from([byte])))).toEqual(DOCUMENTS);
  });

  test('cuts any sequence of objects and arrays, at any split', () => {
    const container = fc.oneof(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.array(fc.jsonValue()),
    );
    const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 12 });
    fc.assert(
      fc.property(fc.array(container, { maxLength: 5 }), cuts, (values, at) => {
        const texts = values.map((value) => JSON.stringify(value));
        const bytes = Buffer.from(texts.join(''));
        const edges = [
          0,
          ...at.filter((edge) => edge < bytes.length).sort((a, b) => a - b),
          bytes.length,
        ];
        const chunks = edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
        expect(split(chunks, 1 << 20)).toEqual(texts);
      }),
    );
  });

  test('a number ends with the byte after it, not before', () => {
    expect(split([Buffer.from('12')])).toEqual([]);
    expect(split([Buffer.from('12'), Buffer.from('34 ')])).toEqual(['1234']);
    expect(split([Buffer.from('7{"a":1}')])).toEqual(['7', '{"a":1}']);
  });

  test('refuses what cannot begin a document, after delivering what came before', () => {
    const documents: string[] = [];
    const splitter = new JsonDocumentSplitter({ maxDocumentBytes: 100 });
    expect(() =>
      splitter.push(Buffer.from('{"a":1}]'), (bytes) => documents.push(String(bytes))),
    ).toThrow(JsonFramingError);
    expect(documents).toEqual(['{"a":1}']);
  });

  test('refuses a document over the limit, whether it ends or not', () => {
    const text = `{"a":"${'x'.repeat(100)}"}`;
    expect(split([Buffer.from(text)], text.length)).toEqual([text]);
    expect(() => split([Buffer.from(text)], text.length - 1)).toThrow(
      `longer than ${text.length - 1} bytes`,
    );
    expect(() => split([Buffer.from(text.slice(0, 60))], 50)).toThrow(JsonFramingError);
  });

  test('takes a long document in small chunks, and joins its bytes once', () => {
    const splitter = new JsonDocumentSplitter({ maxDocumentBytes: 64 << 20 });
    const chunk = Buffer.alloc(1024, 'x');
    let delivered = 0;
    const concat = vi.spyOn(Buffer, 'concat');
    splitter.push(Buffer.from('{"a":"'), () => (delivered += 1));
    for (let i = 0; i < 8192; i += 1) splitter.push(chunk, () => (delivered += 1));
    expect(splitter.pendingBytes).toBe(6 + 8192 * 1024);
    splitter.push(Buffer.from('"}'), (document) => (delivered = document.length));
    expect(delivered).toBe(8 + 8192 * 1024);
    expect(concat).toHaveBeenCalledTimes(1);
    concat.mockRestore();
  });
});
