import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SpdkError } from '@lariat/spdk';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';

const NQN = 'nqn.2026-01.io.lariat:taken';
const HOST = 'nqn.2026-01.io.lariat:host';
const NO_UUID = '00000000-1111-4222-8333-444444444444';

const ADDRESS = { trtype: 'TCP', adrfam: 'ipv4', traddr: '127.0.0.1' };

const DECODE_FAILED = 'spdk_json_decode_object failed';

/** What most methods say with a code: the text of the errno, or of the JSON-RPC error. */
const MESSAGES: Readonly<Record<number, string>> = {
  [-17]: 'File exists',
  [-19]: 'No such device',
  [-22]: 'Invalid argument',
  [-32602]: 'Invalid parameters',
};

/** What it is, method, parameters, code, and the message where it is not the usual one. They are those of spdk_tgt 26.05. */
const MISTAKES: readonly (readonly [string, string, object, number, string?])[] = [
  ['no such method', 'bdev_no_such_method', {}, -32601, 'Method not found'],
  [
    'an unknown parameter',
    'nvmf_delete_subsystem',
    { nqn: NQN, extra: 1 },
    -32602,
    'Invalid parameters',
  ],
  ['an unknown parameter', 'bdev_get_bdevs', { extra: 1 }, -32603, DECODE_FAILED],
  ['a parameter of another type', 'bdev_aio_delete', { name: 1 }, -32603, DECODE_FAILED],
  ['a parameter of another type', 'bdev_raid_delete', { name: 1 }, -32700, DECODE_FAILED],
  [
    'an unknown parameter',
    'bdev_nvme_attach_controller',
    { name: 'c', ...ADDRESS, trsvcid: '1', subnqn: NQN, bogus: 1 },
    -32603,
    DECODE_FAILED,
  ],
  [
    'parameters where there are none',
    'notify_get_types',
    { extra: 1 },
    -32602,
    'No parameters required',
  ],
  [
    'starting what has started',
    'framework_start_init',
    {},
    -1,
    'Method may only be called before framework is initialized. Use --wait-for-rpc command line parameter and then issue this RPC before the framework_start_init RPC.',
  ],
  [
    'the configuration of no subsystem',
    'framework_get_config',
    { name: 'nope' },
    -32602,
    "Subsystem 'nope' not found",
  ],
  ['a log flag that is none', 'log_set_flag', { flag: 'no such flag' }, -32602, 'invalid log flag'],
  ['a log level that is none', 'log_set_level', { level: 'DISABLED' }, -32603, DECODE_FAILED],
  [
    'an error in what makes none',
    'bdev_error_inject_error',
    { name: '@free', io_type: 'all', error_type: 'failure' },
    -19,
  ],
  [
    'latencies that make no sense',
    'bdev_delay_create',
    {
      name: 'd',
      base_bdev_name: '@free',
      avg_read_latency: 2,
      p99_read_latency: 1,
      avg_write_latency: 0,
      p99_write_latency: 0,
    },
    -22,
  ],
  [
    'the latency of nothing',
    'bdev_delay_update_latency',
    { delay_bdev_name: 'nope', latency_type: 'avg_read', latency_us: 1 },
    -32602,
    'The requested bdev does not exist.',
  ],
  ['no limits', 'bdev_set_qos_limit', { name: '@free' }, -22, 'No rate limits specified'],
  ['a rebuild window of nothing', 'bdev_raid_set_options', { process_window_size_kb: 0 }, -22],
  ['a missing bdev', 'bdev_get_bdevs', { name: 'nope' }, -19],
  [
    'a name that is taken',
    'bdev_aio_create',
    { name: 'disk', filename: '@disk', block_size: 4096 },
    -17,
  ],
  ['deleting a missing aio bdev', 'bdev_aio_delete', { name: 'nope' }, -19],
  [
    'a store on a missing bdev',
    'bdev_lvol_create_lvstore',
    { bdev_name: 'nope', lvs_name: 's' },
    -19,
  ],
  [
    'a lvol in a missing store',
    'bdev_lvol_create',
    { lvs_name: 'nope', lvol_name: 'x', size_in_mib: 4 },
    -19,
  ],
  [
    'a lvol in a store named twice',
    'bdev_lvol_create',
    { lvs_name: '@store', uuid: NO_UUID, lvol_name: 'x', size_in_mib: 4 },
    -22,
  ],
  ['a missing lvol', 'bdev_lvol_delete', { name: 'nope' }, -19],
  ['a snapshot of nothing', 'bdev_lvol_snapshot', { lvol_name: 'nope', snapshot_name: 's' }, -19],
  ['a clone of nothing', 'bdev_lvol_clone', { snapshot_name: 'nope', clone_name: 'c' }, -19],
  ['resizing nothing', 'bdev_lvol_resize', { name: 'nope', size_in_mib: 8 }, -19],
  ['an unknown copy', 'bdev_lvol_check_shallow_copy', { operation_id: 987654 }, -19],
  [
    'deleting a missing raid',
    'bdev_raid_delete',
    { name: 'nope' },
    -19,
    'raid bdev nope not found',
  ],
  [
    'removing a base of no raid',
    'bdev_raid_remove_base_bdev',
    { name: 'nope' },
    -19,
    'Failed to remove base bdev from raid bdev',
  ],
  [
    'a raid of a level that is none',
    'bdev_raid_create',
    { name: 'r', raid_level: 'raid9', base_bdevs: ['@free'] },
    -32700,
    DECODE_FAILED,
  ],
  [
    'a raid of a name that is too long',
    'bdev_raid_create',
    { name: 'r'.repeat(64), raid_level: 'raid1', base_bdevs: ['a', 'b'] },
    -22,
    `Failed to create RAID bdev ${'r'.repeat(64)}: Invalid argument`,
  ],
  [
    'adding to no raid',
    'bdev_raid_add_base_bdev',
    { raid_bdev: 'nope', base_bdev: '@free' },
    -19,
    'raid bdev nope is not found in config',
  ],
  ['deleting a store that is not there', 'bdev_lvol_delete_lvstore', { lvs_name: 'nope' }, -19],
  [
    'renaming a store that is not there',
    'bdev_lvol_rename_lvstore',
    { old_name: 'nope', new_name: 'n' },
    -2,
    'Lvol store nope not found',
  ],
  [
    'an outside clone in no store',
    'bdev_lvol_clone_bdev',
    { bdev: '@free', lvs_name: 'nope', clone_name: 'c' },
    -32602,
    'lvs does not exist',
  ],
  [
    'an outside clone of one of its own',
    'bdev_lvol_clone_bdev',
    { bdev: '@free', lvs_name: '@store', clone_name: 'c' },
    -32602,
    'bdev is an lvol in same lvs as clone; use bdev_lvol_clone instead',
  ],
  ['a malloc bdev of odd blocks', 'bdev_malloc_create', { block_size: 100, num_blocks: 8 }, -22],
  ['a malloc bdev of no blocks', 'bdev_malloc_create', { block_size: 512, num_blocks: 0 }, -22],
  ['deleting no malloc bdev', 'bdev_malloc_delete', { name: 'nope' }, -19],
  ['detaching nothing', 'bdev_nvme_detach_controller', { name: 'nope' }, -19],
  ['resetting nothing', 'bdev_nvme_reset_controller', { name: 'nope' }, -19],
  [
    'loss times that contradict',
    'bdev_nvme_attach_controller',
    {
      name: 'c',
      ...ADDRESS,
      trsvcid: '1',
      subnqn: NQN,
      ctrlr_loss_timeout_sec: 1,
      reconnect_delay_sec: 5,
    },
    -22,
  ],
  [
    'an unknown transport of a controller',
    'bdev_nvme_attach_controller',
    { name: 'c', trtype: 'TCP', adrfam: 'smoke', traddr: '127.0.0.1' },
    -22,
    'Failed to parse adrfam: smoke',
  ],
  [
    'a second TCP transport',
    'nvmf_create_transport',
    { trtype: 'TCP' },
    -32603,
    "Transport type 'TCP' already exists",
  ],
  [
    'an unknown transport',
    'nvmf_create_transport',
    { trtype: 'PIGEON' },
    -32602,
    "Invalid transport type 'PIGEON'",
  ],
  [
    'an NQN that is taken',
    'nvmf_create_subsystem',
    { nqn: NQN },
    -32603,
    `Unable to create subsystem ${NQN}`,
  ],
  [
    'an NQN that is none',
    'nvmf_create_subsystem',
    { nqn: 'volume' },
    -32603,
    'Unable to create subsystem volume',
  ],
  [
    'a cntlid range that is none',
    'nvmf_create_subsystem',
    { nqn: `${NQN}-2`, min_cntlid: 9, max_cntlid: 3 },
    -32602,
    'Invalid cntlid range [9-3]',
  ],
  [
    'a missing subsystem',
    'nvmf_get_subsystems',
    { nqn: `${NQN}-3` },
    -32602,
    `Subsystem with NQN '${NQN}-3' not found`,
  ],
  [
    'deleting a missing subsystem',
    'nvmf_delete_subsystem',
    { nqn: `${NQN}-3` },
    -32602,
    `Subsystem with NQN '${NQN}-3' not found`,
  ],
  [
    'a namespace of a missing bdev',
    'nvmf_subsystem_add_ns',
    { nqn: NQN, namespace: { bdev_name: 'nope' } },
    -32602,
  ],
  [
    'a namespace id that is taken',
    'nvmf_subsystem_add_ns',
    { nqn: NQN, namespace: { bdev_name: '@free', nsid: 1 } },
    -32602,
  ],
  [
    'a bdev that is exported already',
    'nvmf_subsystem_add_ns',
    { nqn: NQN, namespace: { bdev_name: '@exported' } },
    -32602,
  ],
  ['removing a missing namespace', 'nvmf_subsystem_remove_ns', { nqn: NQN, nsid: 7 }, -32602],
  [
    'a host that is there already',
    'nvmf_subsystem_add_host',
    { nqn: NQN, host: HOST },
    -32603,
    'Internal error',
  ],
  [
    'removing a missing host',
    'nvmf_subsystem_remove_host',
    { nqn: NQN, host: `${HOST}-2` },
    -32603,
    'Internal error',
  ],
  [
    'a listener that is there already',
    'nvmf_subsystem_add_listener',
    { nqn: NQN, listen_address: { ...ADDRESS, trsvcid: '@port' } },
    -32602,
  ],
  [
    'removing a missing listener',
    'nvmf_subsystem_remove_listener',
    { nqn: NQN, listen_address: { ...ADDRESS, trsvcid: '9' } },
    -32602,
  ],
];

describe.each(TARGET_KINDS)('$name: a mistake', (kind) => {
  let lab: Lab;
  let target: TargetProcess;
  let exported: string;
  let free: string;

  beforeAll(async () => {
    if (kind.missing !== undefined) return;
    lab = await Lab.open(kind);
    target = await lab.startTarget();
    await target.makeStore();
    exported = await target.createLvol('exported', 4);
    free = await target.createLvol('free', 4);
    await target.exportBdev(NQN, exported, HOST);
  });

  afterAll(async () => {
    if (kind.missing === undefined) await lab.close();
  });

  beforeEach((context) => {
    if (kind.missing !== undefined) context.skip(kind.missing);
  });

  const fill = (params: object): object =>
    JSON.parse(
      JSON.stringify(params)
        .replace('@disk', target.diskPath)
        .replace('@store', target.storeName)
        .replace('@exported', exported)
        .replace('@free', free)
        .replace('@port', target.port),
    ) as object;

  test.each(
    MISTAKES.map(([name, method, params, code, message = MESSAGES[code]]) => {
      return { name, method, params, expected: { rpcCode: code, rpcMessage: message } };
    }),
  )('$name: $method', async ({ method, params, expected }) => {
    const error = await target.rpc.call(method, fill(params)).then(
      () => expect.unreachable(`${method} should have been refused`),
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(SpdkError);
    expect(error).toMatchObject(expected);
  });

  test('does not change what is there', async () => {
    const subsystems = await target.spdk.nvmf.getSubsystems();
    expect(subsystems.filter((each) => each.subtype === 'NVMe')).toMatchObject([
      { nqn: NQN, hosts: [HOST], namespaces: [{ nsid: 1, bdevName: exported, uuid: exported }] },
    ]);
    const lvols = await target.spdk.lvol.getLvols();
    expect(lvols.map((lvol) => lvol.name).sort()).toEqual(['exported', 'free']);
  });

  test('a host that is not admitted is refused', async () => {
    await expect(connectNamespace(target.port, NQN, `${HOST}-other`)).rejects.toMatchObject({
      code: 'NVME_HOST_NOT_ALLOWED',
    });
  });

  test('attaching where nobody listens fails and leaves no controller', async () => {
    const attach = target.spdk.nvme.attachController({
      name: 'nobody',
      traddr: '127.0.0.1',
      trsvcid: '1',
      subnqn: NQN,
      hostnqn: HOST,
    });
    await expect(attach).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await target.spdk.nvme.getControllers()).toEqual([]);
  });

  test('a namespace of this very target gets no bdev, since its uuid is taken', async () => {
    const params = {
      name: 'self',
      traddr: '127.0.0.1',
      trsvcid: target.port,
      subnqn: NQN,
      hostnqn: HOST,
    };
    expect(await target.spdk.nvme.attachController(params)).toEqual([]);
    await expect(target.spdk.nvme.attachController(params)).rejects.toMatchObject({
      errno: 'EALREADY',
    });
    await target.spdk.nvme.detachController('self');
    expect(await target.spdk.nvme.getControllers()).toEqual([]);
  });

  test('a lvol held by a raid cannot be exported', async () => {
    const other = await target.createLvol('other', 4);
    await target.spdk.raid.create({ name: 'r', raidLevel: 'raid1', baseBdevs: [free, other] });
    await expect(target.spdk.nvmf.addNs(NQN, { bdevName: free })).rejects.toMatchObject({
      rpcCode: -32602,
    });
    await target.spdk.raid.delete('r');
    await target.spdk.lvol.delete(other);
  });
});
