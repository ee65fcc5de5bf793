import { describe, expect, test } from 'vitest';
import type { RpcCaller } from '../json-rpc/spdk-client.js';
import { Spdk } from '../spdk.js';
import { sizeInMib } from './lvol.js';

function recorder(result: unknown): {
  spdk: Spdk;
  calls: { method: string; params?: object | undefined }[];
} {
  const calls: { method: string; params?: object | undefined }[] = [];
  const rpc: RpcCaller = {
    call: (method, params) => {
      calls.push({ method, params });
      return Promise.resolve(result);
    },
  };
  return { spdk: new Spdk(rpc), calls };
}

const all: readonly (readonly [
  string,
  unknown,
  (spdk: Spdk) => Promise<unknown>,
  object | undefined,
])[] = [
  ['framework_wait_init', true, (s) => s.app.waitInit(), undefined],
  ['spdk_kill_instance', true, (s) => s.app.killInstance('SIGTERM'), { sig_name: 'SIGTERM' }],
  ['notify_get_notifications', [], (s) => s.app.getNotifications(4, 9), { id: 4, max: 9 }],
  ['rpc_get_methods', [], (s) => s.app.getMethods(), { current: true }],
  ['bdev_wait_for_examine', true, (s) => s.bdev.waitForExamine(), undefined],
  [
    'bdev_aio_create',
    'a',
    (s) => s.bdev.aioCreate({ name: 'a', filename: '/f', blockSizeBytes: 4096 }),
    { name: 'a', filename: '/f', block_size: 4096 },
  ],
  ['bdev_aio_rescan', true, (s) => s.bdev.aioRescan('a'), { name: 'a' }],
  [
    'bdev_set_qos_limit',
    true,
    (s) => s.bdev.setQosLimit('a', { readWriteIosPerSecond: 0 }),
    { name: 'a', rw_ios_per_sec: 0 },
  ],
  [
    'lariat_bdev_quiesce',
    true,
    (s) => s.bdev.quiesce('a', 'g', 500),
    { name: 'a', gate_id: 'g', timeout_ms: 500 },
  ],
  [
    'lariat_raid_hold_losses',
    true,
    (s) => s.raid.holdLosses('r', 500),
    { name: 'r', timeout_ms: 500 },
  ],
  [
    'lariat_raid_confirm_losses',
    { unconfirmed: [] },
    (s) => s.raid.confirmLosses('r', ['a']),
    { name: 'r', base_bdevs: ['a'] },
  ],
  [
    'lariat_lvol_get_cluster_digests',
    { cluster_size: 1 << 20, num_clusters: 2, sha256: Buffer.alloc(64).toString('base64') },
    (s) => s.lvol.getClusterDigests('l', 7, 16),
    { name: 'l', first_cluster: 7, num_clusters: 16 },
  ],
  [
    'lariat_bdev_unquiesce',
    { held: true },
    (s) => s.bdev.unquiesce('a', 'g'),
    { name: 'a', gate_id: 'g' },
  ],
  [
    'bdev_lvol_create_lvstore',
    'u',
    (s) =>
      s.lvol.createLvstore({
        bdevName: 'a',
        lvsName: 'l',
        clusterSizeBytes: 1 << 20,
        clearMethod: 'write_zeroes',
      }),
    { bdev_name: 'a', lvs_name: 'l', cluster_sz: 1 << 20, clear_method: 'write_zeroes' },
  ],
  ['bdev_lvol_get_lvols', [], (s) => s.lvol.getLvols({ uuid: 'u' }), { lvs_uuid: 'u' }],
  [
    'bdev_lvol_create',
    'u',
    (s) =>
      s.lvol.create({ store: { lvsName: 'l' }, lvolName: 'v', sizeMib: 4, thinProvision: true }),
    { lvs_name: 'l', lvol_name: 'v', size_in_mib: 4, thin_provision: true },
  ],
  ['bdev_lvol_resize', true, (s) => s.lvol.resize('v', 8), { name: 'v', size_in_mib: 8 }],
  [
    'bdev_lvol_set_parent',
    true,
    (s) => s.lvol.setParent('v', 'p'),
    { lvol_name: 'v', parent_name: 'p' },
  ],
  [
    'bdev_lvol_clone_bdev',
    'u',
    (s) => s.lvol.cloneBdev('b', 'l', 'c'),
    { bdev: 'b', lvs_name: 'l', clone_name: 'c' },
  ],
  [
    'bdev_lvol_start_shallow_copy',
    { operation_id: 3 },
    (s) => s.lvol.startShallowCopy('a', 'b'),
    { src_lvol_name: 'a', dst_bdev_name: 'b' },
  ],
  [
    'bdev_raid_create',
    true,
    (s) => s.raid.create({ name: 'r', raidLevel: 'raid1', baseBdevs: ['a', 'b'], uuid: 'u' }),
    {
      name: 'r',
      raid_level: 'raid1',
      base_bdevs: ['a', 'b'],
      strip_size_kb: 0,
      superblock: false,
      uuid: 'u',
    },
  ],
  [
    'bdev_raid_grow_base_bdev',
    true,
    (s) => s.raid.growBaseBdev('r', 'a', 'g'),
    { raid_name: 'r', base_name: 'a', gate_id: 'g' },
  ],
  ['bdev_raid_remove_base_bdev', true, (s) => s.raid.removeBaseBdev('a'), { name: 'a' }],
  [
    'bdev_nvme_set_options',
    true,
    (s) => s.nvme.setOptions({ keepAliveTimeoutMs: 5000, ctrlrLossTimeoutSeconds: -1 }),
    { ctrlr_loss_timeout_sec: -1, keep_alive_timeout_ms: 5000 },
  ],
  [
    'bdev_nvme_attach_controller',
    ['cn1'],
    (s) =>
      s.nvme.attachController({
        name: 'c',
        traddr: '1.2.3.4',
        trsvcid: '4420',
        subnqn: 'q',
        reconnectDelaySeconds: 1,
      }),
    {
      name: 'c',
      trtype: 'TCP',
      adrfam: 'ipv4',
      traddr: '1.2.3.4',
      trsvcid: '4420',
      subnqn: 'q',
      reconnect_delay_sec: 1,
    },
  ],
  [
    'nvmf_subsystem_add_ns',
    1,
    (s) => s.nvmf.addNs('q', { bdevName: 'b', nsid: 1 }),
    { nqn: 'q', namespace: { bdev_name: 'b', nsid: 1 } },
  ],
  [
    'nvmf_subsystem_add_listener',
    true,
    (s) => s.nvmf.addListener('q', { traddr: '1.2.3.4', trsvcid: '4420' }),
    {
      nqn: 'q',
      listen_address: { trtype: 'TCP', adrfam: 'ipv4', traddr: '1.2.3.4', trsvcid: '4420' },
    },
  ],
  ['nvmf_subsystem_add_host', true, (s) => s.nvmf.addHost('q', 'h'), { nqn: 'q', host: 'h' }],
];

describe('typed methods', () => {
  test.each(all)(
    '%s sends its parameters in the names of SPDK',
    async (method, result, call, params) => {
      const { spdk, calls } = recorder(result);
      await call(spdk);
      expect(calls).toEqual([{ method, params }]);
    },
  );

  test('refuse an answer of another type', async () => {
    await expect(recorder('yes').spdk.nvmf.createTransport()).rejects.toThrow(
      'nvmf_create_transport: expected true or false, got "yes"',
    );
    await expect(recorder([]).spdk.bdev.getBdev('a')).rejects.toThrow(
      'bdev_get_bdevs: expected one bdev, got []',
    );
  });
});

describe('sizeInMib', () => {
  test('takes whole MiB alone', () => {
    expect(sizeInMib(3 * 1024 * 1024)).toBe(3);
    for (const wrong of [0, -1, 1, 1024 * 1024 + 1, Number.NaN, 1.5]) {
      expect(() => sizeInMib(wrong)).toThrow('multiple of 1 MiB');
    }
  });
});
