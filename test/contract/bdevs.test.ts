import { truncate } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';

const NQN = 'nqn.2026-01.io.lariat:bdevs';
const HOST = 'nqn.2026-01.io.lariat:host';
const MIB = 1024 * 1024;
const BLOCK = 4096;

describe.each(TARGET_KINDS)('$name: a bdev', (kind) => {
  let lab: Lab;
  let target: TargetProcess;

  beforeEach(async (context) => {
    if (kind.missing !== undefined) return context.skip(kind.missing);
    lab = await Lab.open(kind);
    target = await lab.startTarget();
  });

  afterEach(async (context) => {
    if (kind.missing === undefined) await lab.close(context);
  });

  const call = (method: string, params?: object): Promise<unknown> =>
    target.rpc.call(method, params);

  test('is counted and limited as told', async () => {
    await call('bdev_malloc_create', { name: 'm', block_size: BLOCK, num_blocks: 4096 });
    await target.exportBdev(NQN, 'm', HOST);
    const { device, close } = await connectNamespace(target.port, NQN, HOST);
    lab.onClose(close);
    await call('bdev_wait_for_examine');
    await call('bdev_reset_iostat');
    const data = Buffer.alloc(64 * 1024, 1);
    await device.write(0, data);
    await device.read(0, BLOCK);
    expect(await call('bdev_get_iostat', { names: ['m'] })).toMatchObject({
      bdevs: [
        {
          name: 'm',
          num_write_ops: 1,
          bytes_written: data.length,
          num_read_ops: 1,
          bytes_read: BLOCK,
          io_error: {},
        },
      ],
    });
    await call('bdev_set_qos_limit', { name: 'm', w_mbytes_per_sec: 1 });
    expect(await call('bdev_get_bdevs', { name: 'm' })).toMatchObject([
      { assigned_rate_limits: { w_mbytes_per_sec: 1, r_mbytes_per_sec: 0, rw_ios_per_sec: 0 } },
    ]);
    const writeMs = async (): Promise<number> => {
      const startedMs = performance.now();
      await Promise.all(
        Array.from({ length: 32 }, (_, index) => device.write(index * data.length, data)),
      );
      return performance.now() - startedMs;
    };
    // 2 MiB at 1 MiB a second.
    expect(await writeMs()).toBeGreaterThan(1_500);
    await call('bdev_set_qos_limit', { name: 'm', w_mbytes_per_sec: 0 });
    expect(await writeMs()).toBeLessThan(1_000);
  });

  test('is waited for', async () => {
    const waiting = call('bdev_get_bdevs', { name: 'm', timeout: 30_000 });
    await call('bdev_malloc_create', { name: 'm', block_size: BLOCK, num_blocks: 4096 });
    expect(await waiting).toMatchObject([{ name: 'm' }]);
    await expect(call('bdev_get_bdevs', { name: 'n', timeout: 300 })).rejects.toMatchObject({
      errno: 'ETIMEDOUT',
    });
  });

  test('on a file grows with it and does not shrink', async () => {
    await target.openDisk();
    await truncate(target.diskPath, 200 * MIB);
    await call('bdev_aio_rescan', { name: 'disk' });
    expect(await call('bdev_get_bdevs', { name: 'disk' })).toMatchObject([
      { num_blocks: (200 * MIB) / BLOCK },
    ]);
    await truncate(target.diskPath, 100 * MIB);
    await expect(call('bdev_aio_rescan', { name: 'disk' })).rejects.toMatchObject({
      errno: 'EBUSY',
    });
    const events = (await target.spdk.app.getNotifications(0)).map(
      ({ type, subject }) => `${type} ${subject}`,
    );
    expect(events).toEqual(['bdev_register disk', 'bdev_resize disk']);
    expect(await call('notify_get_types')).toEqual(
      expect.arrayContaining(['bdev_register', 'bdev_unregister', 'bdev_resize']),
    );
  });

  test('is examined when it appears, and not by hand', async () => {
    await target.openDisk();
    await expect(call('bdev_examine', { name: 'disk' })).rejects.toMatchObject({ errno: 'EINVAL' });
  });

  test('is lost to a store with the raid that it is', async () => {
    await target.openDisk();
    await call('bdev_raid_create', {
      name: 'r',
      raid_level: 'concat',
      strip_size_kb: 64,
      base_bdevs: ['disk'],
    });
    await call('bdev_lvol_create_lvstore', { bdev_name: 'r', lvs_name: 's', cluster_sz: MIB });
    await call('bdev_lvol_create', { lvs_name: 's', lvol_name: 'v', size_in_mib: 4 });
    await call('bdev_raid_delete', { name: 'r' });
    expect(await call('bdev_lvol_get_lvstores')).toEqual([]);
    expect(await call('bdev_get_bdevs')).toMatchObject([{ name: 'disk' }]);
  });
});
