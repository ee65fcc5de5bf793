import { connect, createServer, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { MemoryBlockDevice } from './memory-block-device.js';
import type { ListenAddress } from './target/listen-port.js';
import { Cleanup, connectHost, eventually, onlyNamespace, startTarget } from './test-support.js';

const MIB = 1 << 20;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

class CountingDevice extends MemoryBlockDevice {
  reads = 0;

  override async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    this.reads += 1;
    return super.read(offsetBytes, lengthBytes);
  }
}

/** A way to the target whose far end can stop reading, and then leaves the bytes in the sockets. */
async function startStalling(
  to: ListenAddress,
): Promise<{ readonly address: ListenAddress; readonly ways: Socket[] }> {
  const ways: Socket[] = [];
  const server = createServer({ noDelay: true }, (host) => {
    const target = connect({ host: to.traddr, port: Number(to.trsvcid), noDelay: true });
    ways.push(target);
    for (const [from, into] of [
      [host, target],
      [target, host],
    ] as const) {
      from.on('data', (chunk: Buffer) => into.write(chunk));
      from.on('error', () => from.destroy());
      from.once('close', () => into.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup.add(async () => {
    for (const way of ways) way.destroy();
    server.close();
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no address');
  return { address: { traddr: '127.0.0.1', trsvcid: String(bound.port) }, ways };
}

it('begins no command while a host leaves its answers unread, and all when it reads again', async () => {
  const device = new CountingDevice({ sizeBytes: 128 * MIB });
  for (let at = 0; at < 128; at += 1) await device.write(at * MIB, Buffer.alloc(4096, at));
  const { address } = await startTarget(cleanup, { device, target: { maxIoSizeBytes: MIB } });
  const relay = await startStalling(address);
  const controller = await connectHost(cleanup, relay.address, { keepAliveTimeoutMs: 0 });
  const namespace = onlyNamespace(controller);
  for (const way of relay.ways) way.pause();
  const read = (from: number, to: number): readonly Promise<Buffer>[] =>
    Array.from({ length: to - from }, (_, at) => namespace.read((from + at) * MIB, MIB));
  // 40 MiB of answers: more than the sockets on the way and the target's limit together.
  const early = read(0, 40);
  await eventually('the early reads', () => device.reads === 40);
  const late = read(40, 120);
  // They come in within milliseconds, so that those that have not begun by then are held.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(device.reads).toBe(40);
  for (const way of relay.ways) way.resume();
  const answers = await Promise.all([...early, ...late]);
  for (const [at, answer] of answers.entries()) {
    expect([at, answer.length, answer[0], answer[4095]]).toEqual([at, MIB, at, at]);
  }
}, 30_000);
