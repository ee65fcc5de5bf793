import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
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

async function call(name: string, params: object = {}, on = target): Promise<unknown> {
  const found = on.methods[name];
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

describe('framework_get_config', () => {
  const NQN = 'nqn.2026-01.io.lariat:vol';
  const PEER = 'nqn.2026-01.io.lariat:peer';
  const address = (traddr: string, trsvcid = '0'): object => ({ trtype: 'TCP', traddr, trsvcid });
  interface Call {
    readonly method: string;
    readonly params?: object;
  }
  const config = async (name: string): Promise<readonly Call[]> =>
    (await call('framework_get_config', { name })) as readonly Call[];
  /** All that the configuration is to bring back. */
  const shown = async (): Promise<unknown> =>
    withoutIds({
      bdevs: ((await call('bdev_get_bdevs')) as readonly { name: string }[]).toSorted((a, b) =>
        a.name.localeCompare(b.name),
      ),
      raids: await call('bdev_raid_get_bdevs', { category: 'all' }),
      controllers: await call('bdev_nvme_get_controllers'),
      transports: await call('nvmf_get_transports'),
      subsystems: await call('nvmf_get_subsystems'),
      listeners: await call('nvmf_subsystem_get_listeners', { nqn: NQN }),
    });
  /** The target gives out ids as it likes. */
  const withoutIds = (answers: unknown): unknown =>
    JSON.parse(JSON.stringify(answers).replaceAll(/"cntlid":\d+,/g, ''));

  test('leads a new target to what there was', async () => {
    const peer = await createTarget({ stateDir: join(folder, 'peer'), log: silentLog });
    await call('bdev_malloc_create', { name: 'far', block_size: 4096, num_blocks: 256 }, peer);
    await call('nvmf_create_transport', { trtype: 'TCP' }, peer);
    await call('nvmf_create_subsystem', { nqn: PEER, allow_any_host: true }, peer);
    await call('nvmf_subsystem_add_ns', { nqn: PEER, namespace: { bdev_name: 'far' } }, peer);
    for (const traddr of ['127.0.0.1', '127.0.0.2']) {
      await call(
        'nvmf_subsystem_add_listener',
        { nqn: PEER, listen_address: address(traddr) },
        peer,
      );
    }
    const peerListeners = (await call(
      'nvmf_subsystem_get_listeners',
      { nqn: PEER },
      peer,
    )) as readonly { address: object }[];

    await call('bdev_nvme_set_options', { keep_alive_timeout_ms: 5_000 });
    for (const { address: path } of peerListeners) {
      await call('bdev_nvme_attach_controller', {
        name: 'leg',
        ...path,
        subnqn: PEER,
        hostnqn: `${PEER}-host`,
        multipath: 'failover',
        ctrlr_loss_timeout_sec: -1,
        reconnect_delay_sec: 1,
      });
    }
    await call('bdev_aio_create', { name: 'disk', filename: disk, block_size: 4096 });
    await call('bdev_lvol_create_lvstore', {
      bdev_name: 'disk',
      lvs_name: 's',
      cluster_sz: 1 << 20,
    });
    const lvol = await call('bdev_lvol_create', { lvs_name: 's', lvol_name: 'v', size_in_mib: 1 });
    await call('bdev_set_qos_limit', { name: 's/v', rw_ios_per_sec: 5000, w_mbytes_per_sec: 9 });
    await call('bdev_malloc_create', { name: 'm', block_size: 4096, num_blocks: 256 });
    await call('bdev_error_create', { base_name: 'm' });
    await call('bdev_delay_create', {
      name: 'd',
      base_bdev_name: 'EE_m',
      avg_read_latency: 1,
      p99_read_latency: 2,
      avg_write_latency: 3,
      p99_write_latency: 4,
    });
    await call('bdev_raid_set_options', { process_max_bandwidth_mb_sec: 100 });
    await call('bdev_raid_create', {
      name: 'r',
      raid_level: 'raid1',
      base_bdevs: ['legn1', 'd'],
    });
    await call('bdev_raid_create', {
      name: 'late',
      raid_level: 'concat',
      strip_size_kb: 64,
      base_bdevs: ['not there'],
    });
    await call('nvmf_create_transport', { trtype: 'TCP', max_io_size: 262_144 });
    await call('nvmf_create_subsystem', {
      nqn: NQN,
      serial_number: 'SN',
      model_number: 'M',
      ana_reporting: true,
      max_namespaces: 8,
      min_cntlid: 5,
      max_cntlid: 9,
    });
    await call('nvmf_subsystem_add_host', { nqn: NQN, host: `${NQN}-host` });
    await call('nvmf_subsystem_add_ns', {
      nqn: NQN,
      namespace: { bdev_name: lvol, nsid: 3, anagrpid: 2 },
    });
    await call('nvmf_subsystem_add_ns', { nqn: NQN, namespace: { bdev_name: 'r' } });
    await call('nvmf_subsystem_add_listener', {
      nqn: NQN,
      listen_address: address('127.0.0.1'),
      ana_state: 'non_optimized',
    });
    await call('nvmf_subsystem_listener_set_ana_state', {
      nqn: NQN,
      listen_address: (
        (await call('nvmf_subsystem_get_listeners', { nqn: NQN })) as readonly { address: object }[]
      )[0]?.address,
      ana_state: 'inaccessible',
      anagrpid: 2,
    });

    const before = await shown();
    const calls = [...(await config('bdev')), ...(await config('nvmf'))];
    await target.close();
    target = await createTarget({ stateDir: join(folder, 'state'), log: silentLog });
    for (const { method, params } of calls) await call(method, params);
    expect(await shown()).toEqual(before);
    expect([...(await config('bdev')), ...(await config('nvmf'))]).toEqual(
      expect.arrayContaining(calls),
    );
    await target.close();
    await peer.close();
  });

  test('knows the subsystems that framework_get_subsystems lists', async () => {
    expect(await call('framework_get_subsystems')).toEqual([
      { subsystem: 'bdev', depends_on: [] },
      { subsystem: 'nvmf', depends_on: ['bdev'] },
    ]);
    expect(await config('nvmf')).toEqual([]);
    await expect(config('nbd')).rejects.toMatchObject({
      code: -32602,
      message: "Subsystem 'nbd' not found",
    });
  });
});

test('framework_get_reactors tells how busy the one thread is', async () => {
  const read = async (): Promise<{ busy: number; idle: number }> => {
    const answer = (await call('framework_get_reactors')) as {
      pid: number;
      tick_rate: number;
      reactors: readonly { busy: number; idle: number }[];
    };
    expect(answer).toMatchObject({ pid: process.pid, tick_rate: 1e9 });
    expect(answer.reactors).toHaveLength(1);
    return answer.reactors[0] ?? { busy: 0, idle: 0 };
  };
  const first = await read();
  const until = performance.now() + 30;
  while (performance.now() < until);
  // What an event loop has done counts when it comes round, and on a busy machine it does not rest each time.
  const later = async (): Promise<void> => {
    const second = await read();
    expect(second.busy - first.busy).toBeGreaterThan(25e6);
    expect(second.idle).toBeGreaterThan(first.idle);
  };
  await vi.waitFor(later, { timeout: 20_000 });
});

test('what may only be called before the start is refused, and told apart', async () => {
  const all = (await call('rpc_get_methods')) as readonly string[];
  const current = (await call('rpc_get_methods', { current: true })) as readonly string[];
  const startup = all.filter((name) => !current.includes(name));
  expect(startup).toContain('framework_start_init');
  expect(startup).toContain('bdev_set_options');
  for (const name of startup) {
    await expect(call(name, { any: 1 })).rejects.toMatchObject({
      code: -1,
      message: expect.stringMatching(/^Method may only be called before framework is initialized/),
    });
  }
  expect(await call('framework_wait_init')).toBe(true);
});
