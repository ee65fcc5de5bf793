import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { type BlockDevice, BlockIoError, BlockIoFailure } from './block-device.js';
import { MemoryBlockDevice } from './memory-block-device.js';
import {
  Cleanup,
  connectHost,
  eventually,
  GatedDevice,
  onlyNamespace,
  Relay,
  startTarget,
} from './test-support.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function remote(
  device: BlockDevice,
  options: Parameters<typeof connectHost>[2] = {},
): Promise<BlockDevice> {
  const { address } = await startTarget(cleanup, { device });
  return onlyNamespace(await connectHost(cleanup, address, options));
}

describe('a namespace', () => {
  it('has the identity and the size of the device', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20, blockSizeBytes: 4096 });
    const namespace = await remote(device);
    expect(namespace.uuid).toBe(device.uuid);
    expect(namespace.sizeBytes).toBe(1 << 20);
    expect(namespace.blockSizeBytes).toBe(4096);
  });

  it('has the size of this moment when its host looks, also before the event of a change', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    const { address } = await startTarget(cleanup, { device });
    const controller = await connectHost(cleanup, address);
    device.resize(2 << 20);
    await Promise.all([controller.refreshNamespaces(), controller.refreshNamespaces()]);
    expect(onlyNamespace(controller).sizeBytes).toBe(2 << 20);
  });

  const BLOCKS = 600;
  const operation = fc.record({
    kind: fc.constantFrom('read', 'write', 'zeroes', 'unmap', 'flush'),
    block: fc.nat(BLOCKS - 1),
    count: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: BLOCKS })),
    fill: fc.integer({ min: 1, max: 255 }),
  });

  it.each([
    { name: 'plain', options: {} },
    {
      name: 'with both digests and three queues',
      options: { headerDigest: true, dataDigest: true, ioQueueCount: 3 },
    },
  ])('behaves like the device ($name)', async ({ options }) => {
    const device = new MemoryBlockDevice({ sizeBytes: BLOCKS * 512 });
    const namespace = await remote(device, options);
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 12 }), async (operations) => {
        const model = await device.read(0, device.sizeBytes);
        const reads: boolean[] = [];
        for (const { kind, block, count, fill } of operations) {
          const offset = block * 512;
          const length = Math.min(count, BLOCKS - block) * 512;
          if (kind === 'read') {
            const expected = Buffer.from(model.subarray(offset, offset + length));
            reads.push((await namespace.read(offset, length)).equals(expected));
          } else if (kind === 'write') {
            const data = randomBytes(length).fill(fill, 0, 512);
            await namespace.write(offset, data);
            data.copy(model, offset);
          } else if (kind === 'flush') {
            await namespace.flush();
          } else {
            await (kind === 'zeroes'
              ? namespace.writeZeroes(offset, length)
              : namespace.unmap(offset, length));
            model.fill(0, offset, offset + length);
          }
        }
        expect(reads).not.toContain(false);
        expect((await device.read(0, device.sizeBytes)).equals(model)).toBe(true);
        expect((await namespace.read(0, device.sizeBytes)).equals(model)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('carries data in the capsule up to 8192 bytes, and by R2T beyond', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 8 << 20 });
    const { address } = await startTarget(cleanup, { device });
    const relay = new Relay(() => address);
    let readyToTransfer = 0;
    relay.toHost = (chunk) => {
      if (chunk[0] === 0x09) readyToTransfer += 1;
      return chunk;
    };
    const namespace = onlyNamespace(await connectHost(cleanup, await relay.start(cleanup)));
    for (const [length, transfers] of [
      [512, 0],
      [8192, 0],
      [8704, 1],
      [131_072, 1],
    ] as const) {
      readyToTransfer = 0;
      const data = randomBytes(length);
      await namespace.write(4096, data);
      expect((await device.read(4096, length)).equals(data)).toBe(true);
      expect(readyToTransfer).toBe(transfers);
    }
  });

  it('splits large transfers and runs more commands than the queue takes', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 8 << 20 });
    const namespace = await remote(device, { queueDepth: 4 });
    const data = randomBytes(6 << 20);
    await namespace.write(1 << 20, data);
    expect((await device.read(1 << 20, 6 << 20)).equals(data)).toBe(true);
    expect((await namespace.read(1 << 20, 6 << 20)).equals(data)).toBe(true);
    const writes = Array.from({ length: 500 }, (_, index) =>
      namespace.write(index * 512, Buffer.alloc(512, index)),
    );
    await Promise.all(writes);
    const head = await device.read(0, 500 * 512);
    expect(Array.from({ length: 500 }, (_, index) => head[index * 512])).toEqual(
      Array.from({ length: 500 }, (_, index) => index & 0xff),
    );
  });

  it('sends no more commands at once than the queue takes', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    const namespace = await remote(device, { queueDepth: 8 });
    device.hold();
    const writes = Array.from({ length: 20 }, (_, index) =>
      namespace.write(index * 512, Buffer.alloc(512, 1)),
    );
    await eventually('a full queue', () => device.begun === 7);
    device.release();
    await Promise.all(writes);
    expect(device.ended).toBe(20);
  });

  it('flushes the device', async () => {
    const device = new GatedDevice({ sizeBytes: 1 << 20 });
    await (await remote(device)).flush();
    expect(device.flushes).toBe(1);
  });

  it('refuses what is out of range or not aligned', async () => {
    const namespace = await remote(new MemoryBlockDevice({ sizeBytes: 1 << 20 }));
    const outOfRange = expect.objectContaining({ failure: BlockIoFailure.outOfRange });
    await expect(namespace.read(1 << 20, 512)).rejects.toEqual(outOfRange);
    await expect(namespace.write(100, Buffer.alloc(512))).rejects.toEqual(outOfRange);
    await expect(namespace.unmap(0, 2 << 20)).rejects.toEqual(outOfRange);
    expect(await namespace.read(0, 0)).toHaveLength(0);
  });

  it.each(Object.values(BlockIoFailure))(
    'hands on the failure %s of the device',
    async (failure) => {
      const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
      device.write = () => Promise.reject(new BlockIoError(failure, 'as told'));
      device.read = () => Promise.reject(new BlockIoError(failure, 'as told'));
      const namespace = await remote(device);
      const expected = expect.objectContaining({ name: 'BlockIoError', failure });
      await expect(namespace.write(0, Buffer.alloc(512))).rejects.toEqual(expected);
      await expect(namespace.write(0, Buffer.alloc(1 << 20))).rejects.toEqual(expected);
      await expect(namespace.read(0, 512)).rejects.toEqual(expected);
    },
  );

  it('lives on when the device throws', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    const namespace = await remote(device);
    device.write = () => {
      throw new Error('bug');
    };
    await expect(namespace.write(0, Buffer.alloc(512))).rejects.toEqual(
      expect.objectContaining({ failure: 'media' }),
    );
    expect(await namespace.read(0, 512)).toHaveLength(512);
  });
});

describe('digests', () => {
  it('have corrupted data sent again, in both directions', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    const { address } = await startTarget(cleanup, { device });
    const relay = new Relay(() => address);
    const controller = await connectHost(cleanup, await relay.start(cleanup), { dataDigest: true });
    const namespace = onlyNamespace(controller);
    const data = Buffer.alloc(4096, 0x42);
    let corrupted = 0;
    const corruptOnce = (chunk: Buffer): Buffer => {
      if (corrupted > 0 || chunk.length < 4096) return chunk;
      corrupted += 1;
      const copy = Buffer.from(chunk);
      copy.writeUInt8(0x43, 2000);
      return copy;
    };
    relay.toTarget = corruptOnce;
    await namespace.write(0, data);
    expect(corrupted).toBe(1);
    expect((await device.read(0, 4096)).equals(data)).toBe(true);
    corrupted = 0;
    relay.toHost = corruptOnce;
    expect((await namespace.read(0, 4096)).equals(data)).toBe(true);
    expect(corrupted).toBe(1);
    expect(controller.state).toBe('connected');
  });

  it('never let corrupted data through', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    const { address } = await startTarget(cleanup, { device });
    const relay = new Relay(() => address);
    const controller = await connectHost(cleanup, await relay.start(cleanup), { dataDigest: true });
    relay.toTarget = (chunk) => {
      const copy = Buffer.from(chunk);
      if (copy.length >= 4096) copy.writeUInt8(0x43, 2000);
      return copy;
    };
    const namespace = onlyNamespace(controller);
    await expect(namespace.write(0, Buffer.alloc(4096, 0x42))).rejects.toEqual(
      expect.objectContaining({ failure: 'media' }),
    );
    expect((await device.read(0, 4096)).every((byte) => byte === 0)).toBe(true);
  });

  it('have a broken header end the connection, and the I/O go on over a new one', async () => {
    const device = new MemoryBlockDevice({ sizeBytes: 1 << 20 });
    const { address } = await startTarget(cleanup, { device });
    const relay = new Relay(() => address);
    const controller = await connectHost(cleanup, await relay.start(cleanup), {
      headerDigest: true,
    });
    let corrupted = false;
    relay.toTarget = (chunk) => {
      if (corrupted || chunk.length < 4096) return chunk;
      corrupted = true;
      const copy = Buffer.from(chunk);
      copy.writeUInt8(0x05, 8 + 40);
      return copy;
    };
    const namespace = onlyNamespace(controller);
    await namespace.write(8192, Buffer.alloc(4096, 0x42));
    expect(corrupted).toBe(true);
    expect((await device.read(8192, 4096)).every((byte) => byte === 0x42)).toBe(true);
  });
});
