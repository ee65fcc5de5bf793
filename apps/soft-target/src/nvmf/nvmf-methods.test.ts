import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../app/log.js';
import { BdevClaim } from '../bdev/bdev.js';
import { MallocBdev } from '../bdev/malloc/malloc-bdev.js';
import { TargetBdevs } from '../bdev/registry.js';
import type { MethodTable } from '../rpc/method.js';
import { nvmfMethods } from './nvmf-methods.js';
import { NvmfTarget } from './nvmf-target.js';

const NQN = 'nqn.2026-01.io.lariat:vol';
const HOST = 'nqn.2026-01.io.lariat:host';
const UUID = '6c1e7a40-8f5d-4f0c-9d7a-2f4c8a1b3e55';
const LISTEN = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: '0' };

let registry: TargetBdevs;
let target: NvmfTarget;
let methods: MethodTable;
let disk: MallocBdev;

beforeEach(() => {
  registry = new TargetBdevs();
  target = new NvmfTarget(registry, silentLog);
  methods = nvmfMethods(target);
  disk = new MallocBdev('disk', 4096, 1 << 20, UUID);
  registry.register(disk);
});

afterEach(async () => {
  await target.close();
});

async function call(name: string, params: object = {}): Promise<unknown> {
  const found = methods[name];
  if (found === undefined) throw new Error(`no method ${name}`);
  return found.run(found.decode(params as Record<string, unknown>));
}

const subsystem = async (): Promise<Record<string, unknown>> =>
  ((await call('nvmf_get_subsystems', { nqn: NQN })) as Record<string, unknown>[])[0] ?? {};

describe('a subsystem', () => {
  test('is shown as SPDK shows it', async () => {
    await call('nvmf_create_transport', { trtype: 'TCP', some_rdma_option: 1 });
    await call('nvmf_create_subsystem', {
      nqn: NQN,
      serial_number: 'SN',
      model_number: 'M',
      ana_reporting: true,
    });
    await call('nvmf_subsystem_add_host', { nqn: NQN, host: HOST, tgt_name: 'nvmf_tgt' });
    expect(await call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: UUID } })).toBe(
      1,
    );
    expect(await subsystem()).toEqual({
      nqn: NQN,
      subtype: 'NVMe',
      listen_addresses: [],
      allow_any_host: false,
      hosts: [{ nqn: HOST }],
      serial_number: 'SN',
      model_number: 'M',
      max_namespaces: 32,
      passthrough: false,
      min_cntlid: 1,
      max_cntlid: 65519,
      namespaces: [
        {
          nsid: 1,
          bdev_name: 'disk',
          name: 'disk',
          nguid: UUID.replaceAll('-', '').toUpperCase(),
          uuid: UUID,
          anagrpid: 1,
        },
      ],
    });
    expect(await call('nvmf_get_subsystems')).toMatchObject([
      { subtype: 'Discovery' },
      { nqn: NQN },
    ]);
    expect(await call('nvmf_get_transports')).toMatchObject([
      { trtype: 'TCP', max_io_size: 131_072 },
    ]);
  });

  test('listens, and says where', async () => {
    await call('nvmf_create_transport', { trtype: 'tcp' });
    await call('nvmf_create_subsystem', { nqn: NQN, ana_reporting: true, max_namespaces: 2 });
    await call('nvmf_subsystem_add_listener', {
      nqn: NQN,
      listen_address: LISTEN,
      ana_state: 'inaccessible',
    });
    const [listener] = (await call('nvmf_subsystem_get_listeners', { nqn: NQN })) as {
      address: typeof LISTEN;
      ana_states: unknown;
    }[];
    expect(listener?.address).toMatchObject({ trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1' });
    expect(Number(listener?.address.trsvcid)).toBeGreaterThan(0);
    expect(listener?.ana_states).toEqual([
      { ana_group: 1, ana_state: 'inaccessible' },
      { ana_group: 2, ana_state: 'inaccessible' },
    ]);
    await call('nvmf_subsystem_listener_set_ana_state', {
      nqn: NQN,
      listen_address: listener?.address,
      ana_state: 'non_optimized',
      anagrpid: 2,
    });
    const [changed] = (await call('nvmf_subsystem_get_listeners', { nqn: NQN })) as {
      ana_states: unknown[];
    }[];
    expect(changed?.ana_states[1]).toEqual({ ana_group: 2, ana_state: 'non_optimized' });
    await call('nvmf_subsystem_remove_listener', { nqn: NQN, listen_address: listener?.address });
    expect(await call('nvmf_subsystem_get_listeners', { nqn: NQN })).toEqual([]);
  });

  test.each([
    ['nvmf_create_subsystem', { nqn: NQN }, -32603, `Unable to create subsystem ${NQN}`],
    ['nvmf_create_subsystem', { nqn: 'x' }, -32603, 'Unable to create subsystem x'],
    [
      'nvmf_create_subsystem',
      { nqn: `${NQN}2`, min_cntlid: 5, max_cntlid: 2 },
      -32602,
      'Invalid cntlid range [5-2]',
    ],
    [
      'nvmf_create_subsystem',
      { nqn: `${NQN}2`, serial_number: 'x'.repeat(21) },
      -32602,
      'Invalid parameters',
    ],
    ['nvmf_delete_subsystem', { nqn: `${NQN}2` }, -32602, `Subsystem with NQN '${NQN}2' not found`],
    [
      'nvmf_delete_subsystem',
      { nqn: NQN, tgt_name: 'other' },
      -32602,
      "NVMf target 'other' not found",
    ],
    ['nvmf_create_transport', { trtype: 'RDMA' }, -32602, "Invalid transport type 'RDMA'"],
    ['nvmf_create_transport', { trtype: 'TCP' }, -32603, "Transport type 'TCP' already exists"],
    ['nvmf_get_transports', { trtype: 'RDMA' }, -19, 'No such device'],
    [
      'nvmf_subsystem_add_ns',
      { nqn: NQN, namespace: { bdev_name: 'nope' } },
      -32602,
      'Invalid parameters',
    ],
    [
      'nvmf_subsystem_add_ns',
      { nqn: NQN, namespace: { bdev_name: 'disk', nsid: 33 } },
      -32602,
      'Invalid parameters',
    ],
    [
      'nvmf_subsystem_add_ns',
      { nqn: NQN, namespace: { bdev_name: 'disk', nguid: 'ab' } },
      -32602,
      'Invalid nguid',
    ],
    ['nvmf_subsystem_remove_ns', { nqn: NQN, nsid: 1 }, -32602, 'Invalid parameters'],
    ['nvmf_subsystem_add_host', { nqn: NQN, host: HOST }, -32603, 'Internal error'],
    [
      'nvmf_subsystem_add_host',
      { nqn: NQN, host: `${HOST}2`, psk: 'k' },
      -95,
      "soft-target does not support parameter 'psk'",
    ],
    [
      'nvmf_subsystem_add_ns',
      { nqn: NQN, namespace: { bdev_name: 'a', no_auto_visible: true } },
      -95,
      "soft-target does not support parameter 'no_auto_visible'",
    ],
    [
      'nvmf_create_subsystem',
      { nqn: `${NQN}2`, passthrough: true },
      -95,
      "soft-target does not support parameter 'passthrough'",
    ],
    ['nvmf_subsystem_remove_host', { nqn: NQN, host: `${HOST}2` }, -32603, 'Internal error'],
    [
      'nvmf_subsystem_add_listener',
      { nqn: NQN, listen_address: { ...LISTEN, trtype: 'RDMA' } },
      -32602,
      'Invalid parameters',
    ],
    [
      'nvmf_subsystem_add_listener',
      { nqn: NQN, listen_address: { ...LISTEN, traddr: '203.0.113.1' } },
      -32602,
      'Invalid parameters',
    ],
    [
      'nvmf_subsystem_add_listener',
      { nqn: NQN, listen_address: { ...LISTEN, traddr: '' } },
      -32602,
      'Invalid parameters',
    ],
    [
      'nvmf_subsystem_add_listener',
      { nqn: NQN, listen_address: LISTEN, secure_channel: true },
      -32602,
      'Invalid parameters',
    ],
    [
      'nvmf_subsystem_remove_listener',
      { nqn: NQN, listen_address: LISTEN },
      -32602,
      'Invalid parameters',
    ],
    [
      'nvmf_subsystem_listener_set_ana_state',
      { nqn: NQN, listen_address: LISTEN, ana_state: 'optimized' },
      -32603,
      'error setting ANA state: -22',
    ],
  ])('refuses %s %j', async (name, params, code, message) => {
    await call('nvmf_create_transport', { trtype: 'TCP' });
    await call('nvmf_create_subsystem', { nqn: NQN });
    await call('nvmf_subsystem_add_host', { nqn: NQN, host: HOST });
    // A decoder throws at once, a handler rejects.
    await expect((async () => call(name, params))()).rejects.toMatchObject({ code, message });
  });
});

test('parameters that only other transports have are passed over', async () => {
  expect(await call('nvmf_get_targets')).toEqual(['nvmf_tgt']);
  await call('nvmf_create_subsystem', { nqn: NQN });
  await call('nvmf_subsystem_add_host', { nqn: NQN, host: HOST, some_transports_own: 1 });
  expect(await call('nvmf_get_subsystems', { nqn: NQN })).toMatchObject([
    { hosts: [{ nqn: HOST }] },
  ]);
});

describe('a namespace', () => {
  beforeEach(async () => {
    await call('nvmf_create_subsystem', { nqn: NQN });
  });

  test('claims its bdev, and frees it when it goes', async () => {
    const namespace = { bdev_name: 'disk' };
    await call('nvmf_subsystem_add_ns', { nqn: NQN, namespace });
    expect(registry.claimOf(disk)?.claim).toBe(BdevClaim.exclusiveWrite);
    await expect(call('nvmf_subsystem_add_ns', { nqn: NQN, namespace })).rejects.toMatchObject({
      code: -32602,
    });
    await call('nvmf_subsystem_remove_ns', { nqn: NQN, nsid: 1 });
    expect(registry.claimOf(disk)).toBeUndefined();
    await call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { ...namespace, nsid: 7 } });
    await call('nvmf_delete_subsystem', { nqn: NQN });
    expect(registry.claimOf(disk)).toBeUndefined();
  });

  test('is refused when a raid holds the bdev, and the raid keeps it', async () => {
    registry.claim(disk, 'raid', BdevClaim.exclusiveWrite);
    await expect(
      call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'disk' } }),
    ).rejects.toMatchObject({
      code: -32602,
      message: 'Invalid parameters',
    });
    expect(registry.claimOf(disk)?.user).toBe('raid');
  });

  test('is refused when its uuid is none, and frees the bdev', async () => {
    const odd = new MallocBdev('odd', 520, 5200);
    registry.register(odd);
    await expect(
      call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'odd' } }),
    ).rejects.toMatchObject({
      code: -32602,
    });
    expect(registry.claimOf(odd)).toBeUndefined();
  });

  test('goes when its bdev goes', async () => {
    await call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'disk' } });
    await registry.remove(disk);
    expect((await subsystem())['namespaces']).toEqual([]);
    expect(target.require(NQN).subsystem.namespaces()).toEqual([]);
  });

  test('fills the lowest free id', async () => {
    for (const name of ['a', 'b', 'c']) registry.register(new MallocBdev(name, 512, 4096));
    const add = (bdevName: string): Promise<unknown> =>
      call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: bdevName } });
    expect([await add('a'), await add('b'), await add('c')]).toEqual([1, 2, 3]);
    await call('nvmf_subsystem_remove_ns', { nqn: NQN, nsid: 2 });
    expect(await add('b')).toBe(2);
  });
});
