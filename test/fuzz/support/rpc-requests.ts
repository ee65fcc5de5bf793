import type { JsonObject } from './mutate-json.js';

export const PREY_NQN = 'nqn.2026-01.io.lariat:prey';

/** Places of one run that requests name. */
export interface RpcPlaces {
  readonly scratchFile: string;
  readonly port: string;
}

type Request = readonly [method: string, params: JsonObject];

/**
 * Valid requests about things of the fuzzer's own, so that some succeed and others meet what those left. None ends the
 * process or names the bystander.
 */
export function rpcRequests({ scratchFile, port }: RpcPlaces): readonly Request[] {
  const address = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: port };
  const store = { lvs_name: 'pool' };
  const uuid = '8a5f6d3e-1c2b-4d5e-9f60-718293a4b5c6';
  return [
    ['spdk_get_version', {}],
    ['rpc_get_methods', { current: true, include_aliases: false }],
    ['framework_wait_init', {}],
    ['framework_start_init', {}],
    ['log_get_level', {}],
    ['log_get_print_level', {}],
    ['notify_get_types', {}],
    ['notify_get_notifications', { id: 0, max: 10 }],
    ['bdev_get_bdevs', { name: 'ram0', timeout: 5 }],
    ['bdev_get_bdevs', {}],
    ['bdev_wait_for_examine', {}],
    ['bdev_examine', { name: 'scratch' }],
    ['bdev_get_iostat', { names: ['ram0', 'scratch'], per_channel: false, reset_mode: 'none' }],
    ['bdev_reset_iostat', { name: 'ram0', mode: 'all' }],
    [
      'bdev_set_qos_limit',
      { name: 'ram0', rw_ios_per_sec: 20_000, rw_mbytes_per_sec: 100, r_mbytes_per_sec: 0 },
    ],
    ['bdev_malloc_create', { name: 'ram0', block_size: 512, num_blocks: 8192, uuid }],
    ['bdev_malloc_create', { name: 'ram1', block_size: 4096, num_blocks: 1024 }],
    ['bdev_malloc_delete', { name: 'ram0' }],
    ['bdev_aio_create', { name: 'scratch', filename: scratchFile, block_size: 4096 }],
    ['bdev_aio_rescan', { name: 'scratch' }],
    ['bdev_aio_delete', { name: 'scratch' }],
    [
      'bdev_lvol_create_lvstore',
      { bdev_name: 'scratch', lvs_name: 'pool', cluster_sz: 65_536, clear_method: 'none' },
    ],
    ['bdev_lvol_rename_lvstore', { old_name: 'pool', new_name: 'pond' }],
    ['bdev_lvol_rename_lvstore', { old_name: 'pond', new_name: 'pool' }],
    ['bdev_lvol_grow_lvstore', store],
    ['bdev_lvol_get_lvstores', store],
    ['bdev_lvol_delete_lvstore', store],
    ['bdev_lvol_create', { ...store, lvol_name: 'vol', size_in_mib: 4, thin_provision: true }],
    ['bdev_lvol_create', { ...store, lvol_name: 'fat', size_in_mib: 1, clear_method: 'unmap' }],
    ['bdev_lvol_snapshot', { lvol_name: 'pool/vol', snapshot_name: 'snap' }],
    ['bdev_lvol_clone', { snapshot_name: 'pool/snap', clone_name: 'copy' }],
    ['bdev_lvol_clone_bdev', { bdev: 'ram0', lvs_name: 'pool', clone_name: 'outer' }],
    ['bdev_lvol_rename', { old_name: 'pool/copy', new_name: 'copy2' }],
    ['bdev_lvol_resize', { name: 'pool/vol', size_in_mib: 8 }],
    ['bdev_lvol_set_read_only', { name: 'pool/fat' }],
    ['bdev_lvol_inflate', { name: 'pool/copy' }],
    ['bdev_lvol_decouple_parent', { name: 'pool/copy' }],
    ['bdev_lvol_set_parent', { lvol_name: 'pool/copy', parent_name: 'pool/snap' }],
    ['bdev_lvol_set_parent_bdev', { lvol_name: 'pool/outer', parent_name: 'ram0' }],
    ['bdev_lvol_get_lvols', store],
    ['bdev_lvol_start_shallow_copy', { src_lvol_name: 'pool/snap', dst_bdev_name: 'ram0' }],
    ['bdev_lvol_check_shallow_copy', { operation_id: 1 }],
    ['bdev_lvol_delete', { name: 'pool/vol' }],
    ['bdev_lvol_delete', { name: 'pool/snap' }],
    ['bdev_raid_create', { name: 'mirror', raid_level: 'raid1', base_bdevs: ['ram0', 'ram1'] }],
    [
      'bdev_raid_create',
      { name: 'stripe', raid_level: 'raid0', strip_size_kb: 64, base_bdevs: ['ram0', 'ram1'] },
    ],
    ['bdev_raid_get_bdevs', { category: 'all' }],
    ['bdev_raid_remove_base_bdev', { name: 'ram1' }],
    ['bdev_raid_add_base_bdev', { raid_bdev: 'mirror', base_bdev: 'ram1' }],
    ['bdev_raid_grow_base_bdev', { raid_name: 'mirror', base_name: 'ram1', gate_id: 'gate' }],
    ['lariat_bdev_quiesce', { name: 'mirror', gate_id: 'gate', timeout_ms: 50 }],
    ['lariat_bdev_unquiesce', { name: 'mirror', gate_id: 'gate' }],
    ['lariat_raid_hold_losses', { name: 'mirror', timeout_ms: 50 }],
    ['lariat_raid_confirm_losses', { name: 'mirror', base_bdevs: ['ram1'] }],
    ['bdev_raid_delete', { name: 'mirror' }],
    ['nvmf_create_transport', { trtype: 'TCP', max_queue_depth: 64, in_capsule_data_size: 4096 }],
    ['nvmf_get_transports', { trtype: 'TCP' }],
    [
      'nvmf_create_subsystem',
      { nqn: PREY_NQN, serial_number: 'PREY', allow_any_host: true, ana_reporting: true },
    ],
    ['nvmf_get_subsystems', { nqn: PREY_NQN }],
    ['nvmf_subsystem_add_ns', { nqn: PREY_NQN, namespace: { bdev_name: 'ram0', nsid: 1, uuid } }],
    ['nvmf_subsystem_remove_ns', { nqn: PREY_NQN, nsid: 1 }],
    ['nvmf_subsystem_add_host', { nqn: PREY_NQN, host: `${PREY_NQN}-host` }],
    ['nvmf_subsystem_remove_host', { nqn: PREY_NQN, host: `${PREY_NQN}-host` }],
    ['nvmf_subsystem_allow_any_host', { nqn: PREY_NQN, allow_any_host: false }],
    [
      'nvmf_subsystem_add_listener',
      { nqn: PREY_NQN, listen_address: address, ana_state: 'optimized' },
    ],
    [
      'nvmf_subsystem_listener_set_ana_state',
      { nqn: PREY_NQN, listen_address: address, ana_state: 'inaccessible', anagrpid: 1 },
    ],
    ['nvmf_subsystem_remove_listener', { nqn: PREY_NQN, listen_address: address }],
    ['nvmf_subsystem_get_controllers', { nqn: PREY_NQN }],
    ['nvmf_subsystem_get_qpairs', { nqn: PREY_NQN }],
    ['nvmf_subsystem_get_listeners', { nqn: PREY_NQN }],
    ['nvmf_delete_subsystem', { nqn: PREY_NQN }],
    [
      'bdev_nvme_set_options',
      { ctrlr_loss_timeout_sec: 2, reconnect_delay_sec: 1, fast_io_fail_timeout_sec: 1 },
    ],
    [
      'bdev_nvme_attach_controller',
      {
        ...{ name: 'ctl', ...address, subnqn: PREY_NQN, hostnqn: `${PREY_NQN}-host` },
        ...{ hdgst: true, ctrlr_loss_timeout_sec: 2, reconnect_delay_sec: 1 },
        fabrics_connect_timeout_us: 500_000,
      },
    ],
    ['bdev_nvme_get_controllers', { name: 'ctl' }],
    ['bdev_nvme_reset_controller', { name: 'ctl' }],
    ['bdev_nvme_detach_controller', { name: 'ctl' }],
  ];
}
