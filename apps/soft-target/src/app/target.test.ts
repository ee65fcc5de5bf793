import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from './log.js';
import { createTarget, type SoftTarget } from './target.js';

let folder: string;
let disk: string;
let target: SoftTarget;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lariat-target-'));
  disk = join(folder, 'disk');
  const file = await open(disk, 'w');
  await file.truncate(32 << 20);
  await file.close();
  target = await createTarget({ stateDir: join(folder, 'state'), log: silentLog });
});

afterEach(async () => {
  await target.close();
  await rm(folder, { recursive: true, force: true });
});

async function call(name: string, params: object = {}): Promise<unknown> {
  const found = target.methods[name];
  if (found === undefined) throw new Error(`no method ${name}`);
  return found.run(found.decode(params as Record<string, unknown>));
}

test('all modules work on the same bdevs', async () => {
  await call('bdev_aio_create', { name: 'disk', filename: disk, block_size: 4096 });
  await call('bdev_lvol_create_lvstore', {
    bdev_name: 'disk',
    lvs_name: 'store',
    cluster_sz: 1 << 20,
  });
  const lvol = await call('bdev_lvol_create', {
    lvs_name: 'store',
    lvol_name: 'vol',
    size_in_mib: 4,
    thin_provision: true,
  });
  await call('nvmf_create_subsystem', { nqn: 'nqn.2026-01.io.lariat:vol' });
  const namespace = { bdev_name: 'store/vol' };
  expect(await call('nvmf_subsystem_add_ns', { nqn: 'nqn.2026-01.io.lariat:vol', namespace })).toBe(
    1,
  );
  expect(await call('bdev_get_bdevs', { name: lvol })).toMatchObject([
    { name: lvol, aliases: ['store/vol'], claimed: true, claim_type: 'exclusive_write' },
  ]);
  expect(await call('notify_get_notifications')).toEqual([
    { id: 0, type: 'bdev_register', ctx: 'disk' },
    { id: 1, type: 'bdev_register', ctx: lvol },
  ]);
  expect(await call('rpc_get_methods')).toEqual(Object.keys(target.methods));
});

test('what is on disk comes back with a new target', async () => {
  await call('bdev_aio_create', { name: 'disk', filename: disk, block_size: 4096 });
  await call('bdev_lvol_create_lvstore', {
    bdev_name: 'disk',
    lvs_name: 'store',
    cluster_sz: 1 << 20,
  });
  const lvol = await call('bdev_lvol_create', {
    lvs_name: 'store',
    lvol_name: 'vol',
    size_in_mib: 4,
  });
  await target.close();
  target = await createTarget({ stateDir: join(folder, 'state'), log: silentLog });
  expect(await call('bdev_get_bdevs')).toEqual([]);
  await call('bdev_aio_create', { name: 'disk', filename: disk, block_size: 4096 });
  await call('bdev_wait_for_examine');
  expect(await call('bdev_lvol_get_lvols')).toMatchObject([{ alias: 'store/vol', uuid: lvol }]);
});

test('a target in a process of others does not end that process', async () => {
  await expect(
    (async () => call('spdk_kill_instance', { sig_name: 'SIGTERM' }))(),
  ).rejects.toMatchObject({
    code: -95,
  });
});
