import { randomBytes } from 'node:crypto';
import { Duplex, PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ByteReader } from './byte-reader.js';
import { sha256Of } from './expected-content.js';
import { NbdClient, parseNbdUri } from './nbd-client.js';
import { Command, decodeInfo, encodeGo, encodeRequest } from './nbd-wire.js';

const SIZE_BYTES = 8 * 1024 * 1024;

function greeting(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.write('NBDMAGICIHAVEOPT', 'latin1');
  bytes.writeUInt16BE(3, 16);
  return bytes;
}

function optionReply(type: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeBigUInt64BE(0x3e889045565a9n, 0);
  bytes.writeUInt32BE(7, 8);
  bytes.writeUInt32BE(type, 12);
  bytes.writeUInt32BE(payload.length, 16);
  return Buffer.concat([bytes, payload]);
}

function exportInfo(): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(BigInt(SIZE_BYTES), 2);
  bytes.writeUInt16BE(1, 10);
  return bytes;
}

/** A server over memory, written from the protocol's text; `cut` sets how it cuts what it sends. */
function server(cut: (bytes: Buffer) => readonly Buffer[], failing = new Set<number>()) {
  const disk = Buffer.alloc(SIZE_BYTES);
  const seen: number[] = [];
  const fromClient = new PassThrough();
  const reader = new ByteReader(fromClient);
  const stream = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      fromClient.write(chunk);
      done();
    },
    final(done) {
      fromClient.end();
      done();
    },
  });
  const send = (bytes: Buffer): void => {
    for (const part of cut(bytes)) stream.push(part);
  };
  const reply = (cookie: bigint, error: number, data: Buffer): void => {
    const header = Buffer.alloc(16);
    header.writeUInt32BE(0x67446698, 0);
    header.writeUInt32BE(error, 4);
    header.writeBigUInt64BE(cookie, 8);
    send(Buffer.concat([header, data]));
  };
  const serve = async (): Promise<void> => {
    send(greeting());
    await reader.read(4);
    const option = await reader.read(16);
    const request = await reader.read(option.readUInt32BE(12));
    const name = request.subarray(4, 4 + request.readUInt32BE(0)).toString();
    if (name === 'absent') return send(optionReply(0x80000006, Buffer.from('no such export')));
    send(optionReply(3, Buffer.from([0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1])));
    send(optionReply(3, exportInfo()));
    send(optionReply(1, Buffer.alloc(0)));
    for (;;) {
      const header = await reader.read(28);
      const command = header.readUInt16BE(6);
      const cookie = header.readBigUInt64BE(8);
      const offset = Number(header.readBigUInt64BE(16));
      const length = header.readUInt32BE(24);
      seen.push(command);
      if (command === Command.disconnect) {
        stream.push(null);
        return;
      }
      const data = command === Command.write ? await reader.read(length) : Buffer.alloc(0);
      if (failing.has(offset)) reply(cookie, 5, Buffer.alloc(0));
      else if (command === Command.write) {
        data.copy(disk, offset);
        reply(cookie, 0, Buffer.alloc(0));
      } else if (command === Command.read) {
        reply(cookie, 0, Buffer.from(disk.subarray(offset, offset + length)));
      } else reply(cookie, 0, Buffer.alloc(0));
    }
  };
  void serve().catch(() => stream.push(null));
  return { stream, disk, seen };
}

const whole = (bytes: Buffer): readonly Buffer[] => [bytes];
const single = (bytes: Buffer): readonly Buffer[] =>
  Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));

describe('an NBD client', () => {
  it.each([
    ['whole', whole],
    ['byte by byte', single],
  ])('reads back what it wrote, with replies sent %s', async (_name, cut) => {
    const { stream, disk, seen } = server(cut);
    const client = await NbdClient.negotiate(stream, '');
    expect(client.sizeBytes).toBe(SIZE_BYTES);
    const data = randomBytes(5000);
    await client.write(4096, data);
    await client.flush();
    expect(disk.subarray(4096, 9096).equals(data)).toBe(true);
    expect((await client.read(4096, 5000)).equals(data)).toBe(true);
    expect((await client.read(0, 16)).equals(Buffer.alloc(16))).toBe(true);
    await client.close();
    expect(seen).toEqual([1, 3, 0, 0, 2]);
  });

  it('gets every reply right wherever one cut falls', async () => {
    const data = randomBytes(24);
    for (let at = 1; at < 40; at += 1) {
      const { stream, disk } = server((bytes) =>
        bytes.length > at ? [bytes.subarray(0, at), bytes.subarray(at)] : [bytes],
      );
      data.copy(disk, 512);
      const client = await NbdClient.negotiate(stream, '');
      const [first, second] = await Promise.all([client.read(512, 24), client.read(516, 4)]);
      expect(first.equals(data)).toBe(true);
      expect(second.equals(data.subarray(4, 8))).toBe(true);
      await client.close();
    }
  });

  it('moves any length in chunks, in order', async () => {
    const { stream, disk } = server(whole);
    const client = await NbdClient.negotiate(stream, '');
    const data = randomBytes(5 * 1024 * 1024 + 123);
    await client.writeAll(1000, data);
    expect(disk.subarray(1000, 1000 + data.length).equals(data)).toBe(true);
    const read = await sha256Of(client.readAll(1000, data.length));
    expect(read).toBe(
      await sha256Of(
        (async function* () {
          yield data;
        })(),
      ),
    );
    await client.close();
  });

  it('fails the one request that the server refuses, and goes on', async () => {
    const { stream } = server(whole, new Set([4096]));
    const client = await NbdClient.negotiate(stream, '');
    await expect(client.write(4096, Buffer.alloc(512))).rejects.toMatchObject({
      code: 'NBD_IO_ERROR',
      details: { errno: 5 },
    });
    await client.write(8192, Buffer.alloc(512));
    await client.close();
  });

  it('fails what is in flight when the connection goes', async () => {
    const { stream } = server(whole);
    const client = await NbdClient.negotiate(stream, '');
    const reading = client.read(0, 512);
    stream.destroy();
    await expect(reading).rejects.toMatchObject({ code: 'NBD_CLOSED', kind: 'unavailable' });
    await expect(client.read(0, 512)).rejects.toMatchObject({ code: 'NBD_CLOSED' });
  });

  it('says why an export is refused', async () => {
    const { stream } = server(whole);
    await expect(NbdClient.negotiate(stream, 'absent')).rejects.toThrow(/no such export/);
  });

  it('refuses a server that speaks something else', async () => {
    const stream = new PassThrough();
    stream.write(Buffer.alloc(18));
    await expect(NbdClient.negotiate(stream, '')).rejects.toThrow(/newstyle/);
  });
});

describe('NBD frames', () => {
  it('have the layout of the protocol', () => {
    expect(encodeGo('ab').toString('hex')).toBe(
      '49484156454f5054000000070000000800000002' + '6162' + '0000',
    );
    expect(encodeRequest(Command.read, 5n, 4096n, 512).toString('hex')).toBe(
      '25609513' + '0000' + '0000' + '0000000000000005' + '0000000000001000' + '00000200',
    );
    expect(decodeInfo(exportInfo())).toEqual({ sizeBytes: BigInt(SIZE_BYTES), flags: 1 });
    expect(decodeInfo(Buffer.from([0, 3, 0, 0]))).toBeUndefined();
  });

  it('come from an endpoint that names a socket', () => {
    expect(parseNbdUri('nbd+unix:///?socket=/a/b%20c+d.sock')).toEqual({
      socket: '/a/b c+d.sock',
      exportName: '',
    });
    expect(parseNbdUri('nbd+unix:///disk?socket=/s').exportName).toBe('disk');
    expect(() => parseNbdUri('nbd://host/disk')).toThrow(/nbd\+unix/);
  });
});
