import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteDriver } from './byte-driver.js';
import type { ExportInfo } from './encode.js';
import {
  NbdCommand,
  NbdOption,
  NbdProtocolError,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  OptionReply,
  REQUEST_MAGIC,
} from './protocol.js';
import { nbdSession, type NbdRequest } from './session.js';

const INFO: ExportInfo = {
  name: 'vol-1',
  sizeBytes: 64 * 1024 * 1024,
  transmissionFlags: 0x16d,
  minBlockBytes: 4096,
};

function clientFlags(flags: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(flags);
  return bytes;
}

function option(code: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(16);
  head.writeBigUInt64BE(OPTION_MAGIC, 0);
  head.writeUInt32BE(code, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
}

function nameData(name: string, ...requests: readonly number[]): Buffer {
  const text = Buffer.from(name);
  const data = Buffer.alloc(4 + text.length + 2 + 2 * requests.length);
  data.writeUInt32BE(text.length, 0);
  text.copy(data, 4);
  data.writeUInt16BE(requests.length, 4 + text.length);
  requests.forEach((type, index) => data.writeUInt16BE(type, 6 + text.length + 2 * index));
  return data;
}

function request(
  type: number,
  cookie: bigint,
  offset: bigint,
  length: number,
  data?: Buffer,
): Buffer {
  const head = Buffer.alloc(28);
  head.writeUInt32BE(REQUEST_MAGIC, 0);
  head.writeUInt16BE(type, 6);
  head.writeBigUInt64BE(cookie, 8);
  head.writeBigUInt64BE(offset, 16);
  head.writeUInt32BE(length, 24);
  return Buffer.concat([head, data ?? Buffer.alloc(0)]);
}

interface Seen {
  readonly sent: Buffer;
  readonly requests: readonly NbdRequest[];
  readonly ended: boolean;
}

function play(input: Buffer, cuts: readonly number[] = []): Seen {
  const sent: Buffer[] = [];
  const requests: NbdRequest[] = [];
  const session = nbdSession(INFO, {
    send: (bytes) => sent.push(bytes),
    request: (seen) => requests.push(seen),
  });
  const driver = new ByteDriver(session, () => false);
  let from = 0;
  for (const cut of [...cuts, input.length]) {
    driver.push(input.subarray(from, cut));
    from = cut;
  }
  return { sent: Buffer.concat(sent), requests, ended: driver.isEnded };
}

/** (option, reply type) of each option reply after the greeting. */
function replies(sent: Buffer): readonly (readonly [number, number])[] {
  const seen: [number, number][] = [];
  for (let at = 18; at + 20 <= sent.length && sent.readBigUInt64BE(at) === OPTION_REPLY_MAGIC;) {
    seen.push([sent.readUInt32BE(at + 8), sent.readUInt32BE(at + 12)]);
    at += 20 + sent.readUInt32BE(at + 16);
  }
  return seen;
}

const WHOLE = Buffer.concat([
  clientFlags(3),
  option(NbdOption.structuredReply),
  option(NbdOption.list),
  option(NbdOption.info, nameData('vol-1', 3)),
  option(NbdOption.go, nameData('')),
  request(NbdCommand.write, 7n, 4096n, 5, Buffer.from('hello')),
  request(NbdCommand.read, 8n, 0n, 512),
  request(NbdCommand.flush, 9n, 0n, 0),
  request(NbdCommand.disconnect, 10n, 0n, 0),
]);

describe('a session', () => {
  test('negotiates, refuses politely what it does not do, and takes requests', () => {
    const { sent, requests, ended } = play(WHOLE);
    expect(sent.toString('latin1', 0, 16)).toBe('NBDMAGICIHAVEOPT');
    expect(replies(sent)).toEqual([
      [NbdOption.structuredReply, OptionReply.errUnsupported],
      [NbdOption.list, OptionReply.server],
      [NbdOption.list, OptionReply.ack],
      [NbdOption.info, OptionReply.info],
      [NbdOption.info, OptionReply.info],
      [NbdOption.info, OptionReply.ack],
      [NbdOption.go, OptionReply.info],
      [NbdOption.go, OptionReply.info],
      [NbdOption.go, OptionReply.ack],
    ]);
    expect(requests.map(({ type, cookie, payload }) => [type, cookie, payload.toString()])).toEqual(
      [
        [NbdCommand.write, 7n, 'hello'],
        [NbdCommand.read, 8n, ''],
        [NbdCommand.flush, 9n, ''],
      ],
    );
    expect(ended).toBe(true);
  });

  test('is the same wherever its bytes are cut', () => {
    const whole = play(WHOLE);
    for (let cut = 0; cut <= WHOLE.length; cut += 1) expect(play(WHOLE, [cut])).toEqual(whole);
  });

  test('is the same in single bytes and in any pieces', () => {
    const whole = play(WHOLE);
    expect(play(WHOLE, [...WHOLE.keys()])).toEqual(whole);
    fc.assert(
      fc.property(fc.array(fc.nat(WHOLE.length)), (cuts) => {
        const sorted = cuts.toSorted((a, b) => a - b);
        expect(play(WHOLE, sorted)).toEqual(whole);
      }),
    );
  });

  test.each([
    [true, 10],
    [false, 134],
  ])('answers the old export name, padding left out: %s', (noZeroes, lengthBytes) => {
    const { sent } = play(
      Buffer.concat([
        clientFlags(noZeroes ? 3 : 1),
        option(NbdOption.exportName, Buffer.from('vol-1')),
      ]),
    );
    expect(sent.length - 18).toBe(lengthBytes);
    expect(sent.readBigUInt64BE(18)).toBe(BigInt(INFO.sizeBytes));
  });

  test('knows only its own export', () => {
    const { sent } = play(Buffer.concat([clientFlags(3), option(NbdOption.go, nameData('other'))]));
    expect(replies(sent)).toEqual([[NbdOption.go, OptionReply.errUnknown]]);
  });

  test('says that lengths do not add up', () => {
    const short = nameData('vol-1').subarray(0, 5);
    const { sent } = play(Buffer.concat([clientFlags(3), option(NbdOption.go, short)]));
    expect(replies(sent)).toEqual([[NbdOption.go, OptionReply.errInvalid]]);
  });

  test('passes over an option that is too long and goes on', () => {
    const { sent } = play(
      Buffer.concat([clientFlags(3), option(99, Buffer.alloc(100_000)), option(NbdOption.abort)]),
    );
    expect(replies(sent)).toEqual([
      [99, OptionReply.errTooBig],
      [NbdOption.abort, OptionReply.ack],
    ]);
  });

  test.each([
    ['unknown client flags', clientFlags(4)],
    ['a wrong option magic', Buffer.concat([clientFlags(3), Buffer.alloc(16)])],
    [
      'an unknown name with the old option',
      Buffer.concat([clientFlags(3), option(NbdOption.exportName, Buffer.from('other'))]),
    ],
    [
      'a wrong request magic',
      Buffer.concat([clientFlags(3), option(NbdOption.go, nameData('')), Buffer.alloc(28)]),
    ],
    [
      'a write over the maximum',
      Buffer.concat([
        clientFlags(3),
        option(NbdOption.go, nameData('')),
        request(NbdCommand.write, 1n, 0n, 64 * 1024 * 1024),
      ]),
    ],
  ])('ends at %s', (_what, bytes) => {
    expect(() => play(bytes)).toThrow(NbdProtocolError);
  });
});

test('a full server leaves bytes unparsed until it has room', () => {
  const requests: NbdRequest[] = [];
  const session = nbdSession(INFO, {
    send: () => undefined,
    request: (seen) => requests.push(seen),
  });
  let limit = 1;
  const driver = new ByteDriver(session, () => requests.length >= limit);
  driver.push(WHOLE);
  expect(requests).toHaveLength(1);
  expect(driver.pendingBytes).toBeGreaterThan(0);
  limit = 9;
  driver.advance();
  expect(requests).toHaveLength(3);
  expect(driver.isEnded).toBe(true);
});
