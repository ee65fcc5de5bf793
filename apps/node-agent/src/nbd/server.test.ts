import 'reflect-metadata';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { MemoryBlockDevice } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tempDir } from '../testing/fixture.js';
import { ByteDevice } from './byte-device.js';
import { NbdServer } from './server.js';

const run = promisify(execFile);
const MIB = 1024 * 1024;
const SIZE = 16 * MIB;
/** NBD_OPT_EXPORT_NAME with no name: the one export that there is. */
const EXPORT_NAME = Buffer.alloc(16);
EXPORT_NAME.write('IHAVEOPT', 'latin1');
EXPORT_NAME.writeUInt32BE(1, 8);

const has = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((dir) => existsSync(join(dir, program)));

let dir: ReturnType<typeof tempDir>;
let server: NbdServer;
let uri: string;
let errors: unknown[];
let device: MemoryBlockDevice;

beforeEach(async () => {
  dir = tempDir();
  errors = [];
  device = new MemoryBlockDevice({ sizeBytes: SIZE, blockSizeBytes: 4096 });
  server = new NbdServer({
    exportName: 'vol-1',
    device: new ByteDevice(device),
    discard: true,
    onError: (reason) => errors.push(reason),
  });
  const path = join(dir.path, 'nbd.sock');
  await server.listen(path);
  uri = `nbd+unix:///?socket=${path}`;
});
afterEach(async () => {
  await server.close();
  dir.remove();
});

test.skipIf(!has('nbdinfo'))('nbdinfo sees the export (needs nbdinfo)', async () => {
  const { stdout } = await run('nbdinfo', ['--json', uri]);
  expect(JSON.parse(stdout)).toMatchObject({
    protocol: 'newstyle-fixed',
    exports: [
      {
        'export-size': SIZE,
        is_read_only: false,
        can_flush: true,
        can_fua: true,
        can_multi_conn: true,
        can_trim: true,
        can_zero: true,
        block_size_minimum: 4096,
      },
    ],
  });
  const list = await run('nbdinfo', ['--list', '--json', uri]);
  expect(list.stdout).toContain('vol-1');
});

test.skipIf(!has('qemu-io'))('qemu-io reads back what it wrote (needs qemu-io)', async () => {
  const commands = [
    'write -P 0x11 0 64k',
    'write -f -P 0x22 1000 3000',
    'write -z 8k 8k',
    'discard 1M 1M',
    'flush',
    'read -P 0x11 0 1000',
    'read -P 0x22 1000 3000',
    'read -P 0 8k 8k',
    'read -P 0x11 16k 16k',
  ];
  const args = commands.flatMap((command) => ['-c', command]);
  const { stdout } = await run('qemu-io', ['-f', 'raw', ...args, uri]);
  expect(stdout).not.toContain('failed');
  expect(errors).toEqual([]);
});

test.skipIf(!has('nbdcopy'))(
  'nbdcopy copies in and out over several connections (needs nbdcopy)',
  async () => {
    const source = join(dir.path, 'in');
    const copy = join(dir.path, 'out');
    const content = randomBytes(SIZE);
    writeFileSync(source, content);
    await run('nbdcopy', ['--connections=4', '--flush', source, uri]);
    await run('nbdcopy', ['--connections=4', uri, copy]);
    expect(readFileSync(copy).equals(content)).toBe(true);
    expect((await device.read(0, SIZE)).equals(content)).toBe(true);
  },
);

test('a client that breaks the protocol is cut off, and the others are served', async () => {
  const socket = createConnection(join(dir.path, 'nbd.sock'));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => undefined);
  socket.resume();
  socket.write(Buffer.alloc(64, 0xff));
  await closed;
  expect(errors).toHaveLength(1);
  const other = createConnection(join(dir.path, 'nbd.sock'));
  const greeting = await new Promise<Buffer>((resolve) => other.once('data', resolve));
  other.destroy();
  expect(greeting.toString('latin1', 0, 8)).toBe('NBDMAGIC');
});

test('a client that leaves before a word is no failure', async () => {
  const path = join(dir.path, 'nbd.sock');
  for (let round = 0; round < 20; round += 1) {
    await new Promise<void>((resolve) => {
      const socket = createConnection({ path }, () => {
        socket.destroy();
        resolve();
      });
    });
  }
  // Its own connection comes after theirs, so that they have been served before it is.
  await server.close();
  expect(errors).toEqual([]);
});

test('nothing is left of a client that says more after its goodbye, and goes', async () => {
  const request = (type: number): Buffer => {
    const head = Buffer.alloc(28);
    head.writeUInt32BE(0x25609513, 0);
    head.writeUInt16BE(type, 6);
    head.writeUInt32BE(type === 0 ? 4096 : 0, 24);
    return head;
  };
  let answer = (): void => undefined;
  const held = new Promise<void>((resolve) => (answer = resolve));
  const read = device.read.bind(device);
  device.read = (...range) => held.then(() => read(...range));
  const socket = createConnection({ path: join(dir.path, 'nbd.sock') });
  socket.resume();
  const send = (...messages: readonly Buffer[]): Promise<void> =>
    new Promise((resolve) => socket.write(Buffer.concat(messages), () => resolve()));
  // More than may be under way: the server stops to listen before it has come to the goodbye.
  const reads = Array.from({ length: 200 }, () => request(0));
  await send(Buffer.from([0, 0, 0, 3]), EXPORT_NAME, ...reads, request(2));
  await expect.poll(() => server.clients).toBe(1);
  await send(Buffer.alloc(1000, 0xff));
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  answer();
  await new Promise((resolve) => socket.once('close', resolve));
  await expect.poll(() => server.clients, { timeout: 5_000 }).toBe(0);
});

test('a client that comes after the device has grown sees the new size, whether or not the event has come', async () => {
  const grown = Object.assign(new MemoryBlockDevice({ sizeBytes: MIB }), {
    refresh: () => Promise.resolve(grown.resize(2 * MIB)),
  });
  const other = new NbdServer({
    exportName: 'vol-2',
    device: new ByteDevice(grown),
    discard: true,
    onError: (reason) => errors.push(reason),
  });
  const path = join(dir.path, 'grown.sock');
  await other.listen(path);
  const socket = createConnection(path);
  socket.write(Buffer.concat([Buffer.from([0, 0, 0, 3]), EXPORT_NAME]));
  const seen: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => seen.push(chunk));
  // The greeting has 18 bytes; then come the size and the flags.
  await expect.poll(() => Buffer.concat(seen).length).toBe(18 + 10);
  expect(Buffer.concat(seen).readBigUInt64BE(18)).toBe(BigInt(2 * MIB));
  socket.destroy();
  await other.close();
});
