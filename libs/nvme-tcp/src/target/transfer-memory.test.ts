import { afterEach, describe, expect, it } from 'vitest';
import { isAligned } from '../aligned-buffer.js';
import { MemoryBlockDevice } from '../memory-block-device.js';
import { Cleanup, connectHost, onlyNamespace, startTarget } from '../test-support.js';
import { TransferMemory } from './transfer-memory.js';

const MIB = 1 << 20;
const LEAST = 64 * 1024;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const memoryOf = ({ data }: { readonly data: Buffer }): ArrayBufferLike => data.buffer;

describe('the memory of transfers', () => {
  it('is used again once it was released, and not before', () => {
    const memory = new TransferMemory(MIB);
    const first = memory.take(MIB, true);
    const second = memory.take(LEAST, true);
    expect(memoryOf(second)).not.toBe(memoryOf(first));
    expect(second.data).toHaveLength(LEAST);
    first.release();
    first.release();
    const third = memory.take(MIB, true);
    expect(memoryOf(third)).toBe(memoryOf(first));
    expect(memoryOf(memory.take(MIB, true))).not.toBe(memoryOf(first));
    expect(isAligned(third.data)).toBe(true);
  });

  it('is kept for no more than 8 MiB, for nothing small, and not for who may keep it', () => {
    const memory = new TransferMemory(MIB);
    const taken = Array.from({ length: 9 }, () => memory.take(MIB, true));
    expect(taken.filter(({ data }) => isAligned(data))).toHaveLength(8);
    for (const each of taken) each.release();
    expect(isAligned(memory.take(LEAST - 4, true).data)).toBe(false);
    expect(isAligned(memory.take(MIB, false).data)).toBe(false);
    expect(isAligned(memory.take(MIB, true).data)).toBe(true);
  });

  it.each([
    { keepsNoData: true, memories: 1, left: [3, 3, 3] },
    { keepsNoData: false, memories: 3, left: [1, 2, 3] },
  ])(
    'of one write is that of the next only where the device is done with it ($keepsNoData)',
    async ({ keepsNoData, memories, left }) => {
      const given: Buffer[] = [];
      class Device extends MemoryBlockDevice {
        readonly keepsNoData = keepsNoData;
        override async write(offsetBytes: number, data: Buffer): Promise<void> {
          given.push(data);
          await super.write(offsetBytes, data);
        }
      }
      const device = new Device({ sizeBytes: MIB });
      const { address } = await startTarget(cleanup, { device });
      const namespace = onlyNamespace(await connectHost(cleanup, address));
      for (const fill of [1, 2, 3]) await namespace.write(fill * LEAST, Buffer.alloc(LEAST, fill));
      expect(new Set(given.map(({ buffer }) => buffer)).size).toBe(memories);
      for (const fill of [1, 2, 3])
        expect((await device.read(fill * LEAST, LEAST)).equals(Buffer.alloc(LEAST, fill))).toBe(
          true,
        );
      expect(given.map((data) => data[0])).toEqual(left);
    },
  );
});
