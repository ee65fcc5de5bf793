import { JsonRpcCode, RpcError } from './rpc-error.js';

/** Whether a request must, may or must not have `params`; null counts as none. */
export type Presence = 'required' | 'optional' | 'none';

interface ParamRule {
  readonly presence: Presence;
  readonly code: number;
  readonly message: string;
}

const { internalError, invalidParams, parseError } = JsonRpcCode;
const DECODE_FAILED = 'spdk_json_decode_object failed';
const INVALID = 'Invalid parameters';
const EINVAL_TEXT = 'Invalid argument';

/**
 * How the handlers of SPDK 26.05 answer parameters that their decoders refuse: each file has its own habit. A
 * method that is not named here takes its parameters or none, and answers -32602 "Invalid parameters".
 */
const RULES: readonly (readonly [Presence, number, string, readonly string[]])[] = [
  [
    'required',
    internalError,
    DECODE_FAILED,
    [
      'bdev_aio_create bdev_aio_delete bdev_aio_rescan bdev_malloc_create bdev_malloc_delete',
      'bdev_null_create bdev_null_delete bdev_null_resize',
      'bdev_delay_create bdev_delay_delete bdev_delay_update_latency',
      'bdev_lvol_check_shallow_copy bdev_lvol_clone bdev_lvol_clone_bdev bdev_lvol_create',
      'bdev_lvol_create_lvstore bdev_lvol_decouple_parent bdev_lvol_delete bdev_lvol_delete_lvstore',
      'bdev_lvol_grow_lvstore bdev_lvol_inflate bdev_lvol_rename bdev_lvol_rename_lvstore',
      'bdev_lvol_resize bdev_lvol_set_parent bdev_lvol_set_parent_bdev bdev_lvol_set_read_only',
      'bdev_lvol_snapshot bdev_lvol_start_shallow_copy',
      'bdev_nvme_attach_controller bdev_nvme_detach_controller',
      'bdev_raid_add_base_bdev bdev_set_qos_limit bdev_set_qd_sampling_period',
      'log_clear_flag log_set_flag log_set_level log_set_print_level',
    ],
  ],
  [
    'optional',
    internalError,
    DECODE_FAILED,
    [
      'bdev_get_bdevs bdev_get_iostat bdev_reset_iostat bdev_lvol_get_lvols bdev_lvol_get_lvstores',
      'bdev_nvme_get_controllers bdev_nvme_set_options',
    ],
  ],
  [
    'required',
    invalidParams,
    DECODE_FAILED,
    [
      'bdev_error_create bdev_error_delete bdev_error_inject_error bdev_error_resume_pending',
      'bdev_examine log_enable_timestamps',
    ],
  ],
  [
    'required',
    parseError,
    DECODE_FAILED,
    ['bdev_raid_create bdev_raid_delete bdev_raid_get_bdevs bdev_raid_remove_base_bdev'],
  ],
  ['optional', parseError, DECODE_FAILED, ['bdev_raid_set_options']],
  [
    'required',
    invalidParams,
    EINVAL_TEXT,
    ['bdev_nvme_disable_controller bdev_nvme_enable_controller bdev_nvme_reset_controller'],
  ],
  ['optional', invalidParams, EINVAL_TEXT, ['notify_get_notifications']],
  [
    'required',
    invalidParams,
    INVALID,
    [
      'framework_set_scheduler spdk_kill_instance nvmf_create_subsystem nvmf_create_transport',
      'nvmf_delete_subsystem nvmf_ns_add_host nvmf_ns_remove_host nvmf_discovery_add_referral',
      'nvmf_discovery_remove_referral nvmf_subsystem_add_host nvmf_subsystem_add_listener',
      'nvmf_subsystem_add_ns nvmf_subsystem_allow_any_host nvmf_subsystem_get_controllers',
      'nvmf_subsystem_get_listeners nvmf_subsystem_get_qpairs nvmf_subsystem_listener_set_ana_state',
      'nvmf_subsystem_remove_host nvmf_subsystem_remove_listener nvmf_subsystem_remove_ns',
      'nvmf_subsystem_set_ns_ana_group',
    ],
  ],
  ['required', invalidParams, 'Invalid arguments', ['framework_get_config']],
  [
    'optional',
    invalidParams,
    'bdev_nvme_get_io_paths requires no parameters',
    ['bdev_nvme_get_io_paths'],
  ],
  ...(
    [
      ['bdev_wait_for_examine', 'bdev_wait_for_examine requires no parameters'],
      ['framework_get_governor', "'rpc_get_governor' requires no arguments"],
      ['framework_get_reactors', '`framework_get_reactors` requires no arguments'],
      ['framework_get_scheduler', "'rpc_get_scheduler' requires no arguments"],
      ['framework_get_subsystems', "'framework_get_subsystems' requires no arguments"],
      ['log_get_flags', 'log_get_flags requires no parameters'],
      ['log_get_level', 'log_get_level requires no parameters'],
      ['log_get_print_level', 'log_get_print_level requires no parameters'],
      ['notify_get_types', 'No parameters required'],
      ['nvmf_get_targets', 'nvmf_get_targets has no parameters.'],
      ['spdk_get_version', 'spdk_get_version method requires no parameters'],
    ] as const
  ).map(([method, message]) => ['none', invalidParams, message, [method]] as const),
];

const BY_METHOD: ReadonlyMap<string, ParamRule> = new Map(
  RULES.flatMap(([presence, code, message, lines]) =>
    lines
      .flatMap((line) => line.split(' '))
      .map((method) => [method, { presence, code, message }] as const),
  ),
);

export function presenceOf(method: string): Presence {
  return BY_METHOD.get(method)?.presence ?? 'optional';
}

/** The answer to parameters that the method's decoder refuses. */
export function misfitOf(method: string): RpcError {
  const { code, message } = BY_METHOD.get(method) ?? { code: invalidParams, message: INVALID };
  return new RpcError(code, message);
}
