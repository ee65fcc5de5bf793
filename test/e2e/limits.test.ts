import { randomBytes } from 'node:crypto';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

const SIZE_BYTES = 16 * MIB;
const NO_LIMITS = { rwIops: null, rwMbps: null, readMbps: null, writeMbps: null };

describe('limits of a volume', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
    await e2e.client.request('volume.create', {
      name: 'v',
      sizeBytes: SIZE_BYTES,
      qos: { writeMbps: 4 },
    });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };

  it('hold from the attach on, change under load, and go', async () => {
    const { client } = e2e;
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('v');
    const data = randomBytes(8 * MIB);
    const write = (): Promise<number> => timed(() => device.writeAll(0, data));
    const limitedMs = await write();
    // 8 MiB at 4 MiB a second, less what may run ahead.
    expect(limitedMs).toBeGreaterThan(1_500);
    const freed = await client.request('volume.update', { volume: 'v', qos: { writeMbps: null } });
    expect(freed.qos).toEqual(NO_LIMITS);
    expect(await write()).toBeLessThan(limitedMs);
    // What waits for a limit goes on as soon as that is gone: else this would take two minutes.
    await client.request('volume.update', { volume: 'v', qos: { rwMbps: 1 } });
    const slow = (async () => {
      for (let time = 0; time < 16; time += 1) await write();
    })();
    await client.request('volume.update', { volume: 'v', qos: { rwMbps: null, readMbps: 4 } });
    await slow;
    expect(await timed(() => device.read(0, 8 * MIB))).toBeGreaterThan(1_500);
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
  });

  it('may be changed while it is detached, and are rounded as the target does', async () => {
    const { client } = e2e;
    const { qos } = await client.request('volume.update', {
      volume: 'v',
      qos: { rwIops: 1500, readMbps: null },
    });
    expect(qos).toEqual({ ...NO_LIMITS, rwIops: 2000 });
    await client.request('volume.attach', { volume: 'v', node: 'n2', frontend: 'nbd' });
    const device = await e2e.open('v');
    const tookMs = await timed(async () => {
      for (let batch = 0; batch < 40; batch += 1) {
        const reads = Array.from({ length: 100 }, (_, at) => device.read(at * 4096, 4096));
        await Promise.all(reads);
      }
    });
    // 4000 reads at 2000 a second.
    expect(tookMs).toBeGreaterThan(1_600);
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
  });

  it.each([{ rwIops: 0 }, { rwMbps: -1 }, { writeMbps: 1.5 }, { readMbps: 'fast' }, { speed: 1 }])(
    'that make no sense are refused: %j',
    async (qos) => {
      await expect(
        e2e.client.request('volume.update', { volume: 'v', qos: qos as object }),
      ).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    },
  );
});
