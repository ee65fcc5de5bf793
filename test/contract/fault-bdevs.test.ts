import type { BlockDevice } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';

const NQN = 'nqn.2026-01.io.lariat:faulty';
const HOST = 'nqn.2026-01.io.lariat:host';
const BLOCK = 512;

/** Bdevs that harm I/O for the sake of tests, as a host sees them. */
describe.each(TARGET_KINDS)('$name: a bdev made for faults', (kind) => {
  let lab: Lab;
  let target: TargetProcess;

  beforeEach(async (context) => {
    if (kind.missing !== undefined) return context.skip(kind.missing);
    lab = await Lab.open(kind);
    target = await lab.startTarget();
    await target.rpc.call('bdev_malloc_create', { name: 'm', block_size: BLOCK, num_blocks: 4096 });
  });

  afterEach(async (context) => {
    if (kind.missing === undefined) await lab.close(context);
  });

  async function exported(bdevName: string): Promise<BlockDevice> {
    await target.exportBdev(NQN, bdevName, HOST);
    const { device, close } = await connectNamespace(target.port, NQN, HOST);
    lab.onClose(close);
    return device;
  }

  test('holds reads back for its latency, and takes another', async () => {
    const name = await target.rpc.call('bdev_delay_create', {
      name: 'D',
      base_bdev_name: 'm',
      avg_read_latency: 500_000,
      p99_read_latency: 500_000,
      avg_write_latency: 0,
      p99_write_latency: 0,
    });
    expect(name).toBe('D');
    const device = await exported('D');
    const readMs = async (): Promise<number> => {
      const startedMs = performance.now();
      await device.read(0, BLOCK);
      return performance.now() - startedMs;
    };
    expect(await readMs()).toBeGreaterThanOrEqual(499);
    for (const type of ['avg_read', 'p99_read']) {
      await target.rpc.call('bdev_delay_update_latency', {
        delay_bdev_name: 'D',
        latency_type: type,
        latency_us: 0,
      });
    }
    expect(await readMs()).toBeLessThan(400);
    expect(await target.rpc.call('bdev_get_bdevs', { name: 'D' })).toMatchObject([
      { driver_specific: { delay: { base_bdev_name: 'm', avg_read_latency: 0 } } },
    ]);
  });

  test('spoils a byte that is read, and fails writes, as often as told', async () => {
    await target.rpc.call('bdev_error_create', { base_name: 'm' });
    await target.rpc.call('bdev_wait_for_examine');
    const inject = (params: object): Promise<unknown> =>
      target.rpc.call('bdev_error_inject_error', { name: 'EE_m', ...params });
    const device = await exported('EE_m');
    await device.write(0, Buffer.alloc(BLOCK, 1));
    await inject({
      io_type: 'read',
      error_type: 'corrupt_data',
      corrupt_offset: 9,
      corrupt_value: 2,
    });
    const spoilt = Buffer.alloc(BLOCK, 1);
    spoilt.writeUInt8(3, 9);
    expect(await device.read(0, BLOCK)).toEqual(spoilt);
    expect(await device.read(0, BLOCK)).toEqual(Buffer.alloc(BLOCK, 1));
    await inject({ io_type: 'write', error_type: 'failure', num: 100 });
    await expect(device.write(0, Buffer.alloc(BLOCK, 4))).rejects.toMatchObject({
      failure: 'media',
    });
    await inject({ io_type: 'clear', error_type: 'failure' });
    await device.write(BLOCK, Buffer.alloc(BLOCK, 5));
    expect(await device.read(0, 2 * BLOCK)).toEqual(
      Buffer.concat([Buffer.alloc(BLOCK, 1), Buffer.alloc(BLOCK, 5)]),
    );
  });

  test('goes with its base', async () => {
    await target.rpc.call('bdev_error_create', { base_name: 'm' });
    await target.rpc.call('bdev_delay_create', {
      name: 'D',
      base_bdev_name: 'EE_m',
      avg_read_latency: 0,
      p99_read_latency: 0,
      avg_write_latency: 0,
      p99_write_latency: 0,
    });
    const claimed = await target.rpc.call('bdev_get_bdevs');
    expect(claimed).toMatchObject([
      { name: 'm', claimed: true },
      { name: 'EE_m', claimed: true },
      { name: 'D', claimed: false },
    ]);
    await target.rpc.call('bdev_malloc_delete', { name: 'm' });
    expect(await target.rpc.call('bdev_get_bdevs')).toEqual([]);
  });
});
