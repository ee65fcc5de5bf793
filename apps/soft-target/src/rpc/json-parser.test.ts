import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hasDuplicateName, JsonStreamParser, JsonSyntaxError } from './json-parser.js';

function parse(...chunks: readonly (string | Buffer)[]): unknown[] {
  const parser = new JsonStreamParser({ maxValueBytes: 1 << 20 });
  const values: unknown[] = [];
  for (const chunk of chunks) parser.push(Buffer.from(chunk), (value) => values.push(value));
  return values;
}

/** The value as JSON.parse would have it: it rounds large integers, and knows no -0. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_name, each: unknown) =>
      typeof each === 'bigint' ? Number(each) : each,
    ),
  );

function isAmbiguous(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return hasDuplicateName(value) || Object.values(value).some(isAmbiguous);
}

test('any values, one after another and split anywhere, are what JSON.parse makes of them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.array(fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue()))),
      fc.array(fc.nat(), { maxLength: 20 }),
      fc.constantFrom('', '\n', '  '),
      (documents, cuts, between) => {
        const values = documents.map(plain);
        const bytes = Buffer.from(values.map((value) => JSON.stringify(value)).join(between));
        const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
        const chunks = [0, ...at].map((start, index) => bytes.subarray(start, at[index]));
        expect(parse(...chunks).map(plain)).toEqual(values);
      },
    ),
  );
});

test('of damaged documents nothing is taken that JSON.parse would refuse', () => {
  const damage = fc.record({
    at: fc.nat(),
    how: fc.constantFrom('change', 'insert', 'remove'),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('{}[],:"\\0-e.tn '))),
  });
  fc.assert(
    fc.property(fc.jsonValue(), fc.array(damage, { minLength: 1, maxLength: 4 }), (value, list) => {
      let bytes = Buffer.from(JSON.stringify([value]));
      for (const { at, how, byte } of list) {
        const from = at % (bytes.length + 1);
        bytes = Buffer.concat([
          bytes.subarray(0, from),
          how === 'remove' ? Buffer.alloc(0) : Buffer.from([byte]),
          bytes.subarray(how === 'insert' ? from : from + 1),
        ]);
      }
      const values: unknown[] = [];
      const parser = new JsonStreamParser({ maxValueBytes: 1 << 20 });
      let fault: unknown;
      try {
        // A value after it shows that it was whole.
        for (const byte of Buffer.concat([bytes, Buffer.from('\n7\n')])) {
          parser.push(Buffer.from([byte]), (each) => values.push(each));
        }
      } catch (error) {
        fault = error;
      }
      // Nothing else than a fault of syntax comes out of it, whatever goes in.
      expect(fault === undefined || fault instanceof JsonSyntaxError).toBe(true);
      const isWhole = fault === undefined && values.length === 2 && values[1] === 7;
      // Of a name given twice the first value stays here, and the last in JSON.parse.
      if (!isWhole || isAmbiguous(values[0])) return;
      expect(plain(JSON.parse(bytes.toString('utf8')))).toEqual(plain(values[0]));
    }),
    { numRuns: 2000 },
  );
});

test('a document is understood however it is cut in two', () => {
  const text = String.raw`{"a":[1,-2.5e3,true,false,null,"é\"\\\u00e9\ud83d\ude00"],"b":{}} [] 7 `;
  const bytes = Buffer.from(text);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    expect(parse(bytes.subarray(0, cut), bytes.subarray(cut)), `cut at ${cut}`).toEqual([
      { a: [1, -2500, true, false, null, 'é"\\é😀'], b: {} },
      [],
      7,
    ]);
  }
});

describe('a fault', () => {
  test.each([
    ['an end that nothing began', '}'],
    ['the wrong end', '{"a":1]'],
    ['a value without a comma', '[1 2'],
    ['a comma without a value', '[1,]'],
    ['a name that is no string', '{a'],
    ['a name without a value', '{"a"}'],
    ['a word that is none', 'nul '],
    ['a number with a leading zero', '[01]'],
    ['a control character in a string', '"a\n'],
    ['an escape that is none', '"\\x"'],
    ['half a surrogate pair', '"\\ud83d"'],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['65 arrays in one another', '['.repeat(65)],
    ['8,193 values', `[${'1,'.repeat(8192)}`],
  ])('is seen at its first byte: %s', (_name, bytes) => {
    expect(() => parse(bytes)).toThrow(JsonSyntaxError);
  });

  test('lets the values before it through', () => {
    const values: unknown[] = [];
    const parser = new JsonStreamParser({ maxValueBytes: 100 });
    const push = (): void => parser.push(Buffer.from('{"a":1} [2] }'), (each) => values.push(each));
    expect(push).toThrow(JsonSyntaxError);
    expect(values).toEqual([{ a: 1 }, [2]]);
  });
});

test('bounds are kept exactly', () => {
  expect(parse('['.repeat(64) + ']'.repeat(64))).toHaveLength(1);
  // The array's two ends count.
  expect(parse(`[${'1,'.repeat(8189)}1]`)).toHaveLength(1);
  expect(() => parse(`[${'1,'.repeat(8190)}1]`)).toThrow('more than 8192');
  const sized = (maxValueBytes: number, text: string): unknown[] => {
    const parser = new JsonStreamParser({ maxValueBytes });
    const values: unknown[] = [];
    for (const byte of Buffer.from(text)) {
      parser.push(Buffer.from([byte]), (value) => values.push(value));
    }
    return values;
  };
  expect(sized(5, '"abc"  [1,2]  [7,8]')).toEqual(['abc', [1, 2], [7, 8]]);
  expect(() => sized(5, '[1,23]')).toThrow('longer than 5 bytes');
  expect(() => sized(5, '123456 ')).toThrow('longer than 5 bytes');
});

test('integers beyond 2^53 keep every digit', () => {
  expect(parse('[9007199254740991, 18446744073709551615, -9007199254740993, 1e300]')).toEqual([
    [9007199254740991, 18446744073709551615n, -9007199254740993n, 1e300],
  ]);
});

test('a name given twice is told, and the first value stays', () => {
  const [twice, once] = parse('{"a":1,"b":{"a":1},"a":2}{"a":1,"b":{"a":1}}') as object[];
  expect(twice).toEqual({ a: 1, b: { a: 1 } });
  expect([twice, once].map((each) => hasDuplicateName(each ?? {}))).toEqual([true, false]);
});

test('a name that JavaScript knows is a name like any other', () => {
  const [value] = parse('{"__proto__":{"x":1},"constructor":2}') as Record<string, unknown>[];
  expect(Object.keys(value ?? {})).toEqual(['__proto__', 'constructor']);
  expect(value?.['x']).toBeUndefined();
});
