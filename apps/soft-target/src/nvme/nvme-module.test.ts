import { AnaState, BlockIoError, MemoryBlockDevice } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { silentLog } from '../app/log.js';
import type { Bdev } from '../bdev/bdev.js';
import { MallocBdev } from '../bdev/malloc/malloc-bdev.js';
import { TargetBdevs } from '../bdev/registry.js';
import { NvmfTarget } from '../nvmf/nvmf-target.js';
import { DEFAULT_TRANSPORT_OPTIONS } from '../nvmf/tcp-transport.js';
import type { JsonObject, MethodTable } from '../rpc/method.js';
import { nvmeMethods } from './nvme-methods.js';
import { NvmeModule } from './nvme-module.js';

const NQN = 'nqn.2026-01.io.lariat:leg';
const HOST = 'nqn.2026-01.io.lariat:engine';
const UUID = '6c1e7a40-8f5d-4f0c-9d7a-2f4c8a1b3e55';
const MIB = 1 << 20;

/** The far side exports, the near side attaches; both in this process, with a registry each. */
let far: TargetBdevs;
let farNvmf: NvmfTarget;
let near: TargetBdevs;
let module: NvmeModule;
let methods: MethodTable;
let port: string;

beforeEach(async () => {
  far = new TargetBdevs();
  farNvmf = new NvmfTarget(far, silentLog);
  farNvmf.createTransport('TCP', DEFAULT_TRANSPORT_OPTIONS);
  await exportDisk();
  near = new TargetBdevs();
  module = new NvmeModule(near, silentLog);
  methods = nvmeMethods(module);
});

afterEach(async () => {
  await module.close();
  await farNvmf.close();
});

async function exportDisk(at = '0'): Promise<void> {
  if (far.find('disk') === undefined) far.register(new MallocBdev('disk', 4096, 4 * MIB, UUID));
  farNvmf.createSubsystem({
    nqn: NQN,
    serial: 'SN',
    model: 'Model',
    allowAnyHost: false,
    anaReporting: false,
    minCntlid: 1,
    maxCntlid: 0xffef,
    maxNamespaces: 0,
  });
  farNvmf.addHost(NQN, HOST);
  await addNamespace('disk');
  await farNvmf.addListener(
    NQN,
    { adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: at },
    AnaState.optimized,
  );
  port = farNvmf.require(NQN).subsystem.ports()[0]?.address.trsvcid ?? '';
}

function addNamespace(bdevName: string): Promise<number> {
  return farNvmf.addNamespace(NQN, {
    nsid: 0,
    bdevName,
    uuid: undefined,
    nguid: undefined,
    anaGroupId: undefined,
  });
}

async function call(name: string, params: object = {}): Promise<unknown> {
  const found = methods[name];
  if (found === undefined) throw new Error(`no method ${name}`);
  return found.run(found.decode(params as Record<string, unknown>));
}

const attach = (more: object = {}): Promise<unknown> =>
  call('bdev_nvme_attach_controller', {
    name: 'leg',
    trtype: 'TCP',
    adrfam: 'IPv4',
    traddr: '127.0.0.1',
    trsvcid: port,
    subnqn: NQN,
    hostnqn: HOST,
    ...more,
  });

const eventually = (check: () => void): Promise<void> =>
  vi.waitFor(check, { timeout: 10_000, interval: 10 });

describe('an attached controller', () => {
  test('has a bdev for each namespace, with its uuid, size and bytes', async () => {
    expect(await attach({ hdgst: true, ddgst: true })).toEqual(['legn1']);
    const bdev = near.find(UUID);
    expect(bdev).toMatchObject({
      name: 'legn1',
      productName: 'NVMe disk',
      blockSizeBytes: 4096,
      sizeBytes: 4 * MIB,
    });
    const data = Buffer.alloc(300 * 1024, 'abc');
    await bdev?.write(8192, data);
    expect((await far.find('disk')?.read(8192, data.length))?.equals(data)).toBe(true);
    await bdev?.unmap(8192, 4096);
    expect((await bdev?.read(8192, 8192))?.subarray(0, 4096).every((byte) => byte === 0)).toBe(
      true,
    );
    await bdev?.flush();
  });

  test('is shown as SPDK shows it', async () => {
    await attach();
    const trid = { trtype: 'TCP', adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: port, subnqn: NQN };
    expect(await call('bdev_nvme_get_controllers', { name: 'leg' })).toEqual([
      {
        name: 'leg',
        ctrlrs: [
          {
            state: 'enabled',
            trid,
            cntlid: 1,
            host: { nqn: HOST, addr: '', svcid: '', no_shn_notification: false },
          },
        ],
      },
    ]);
    expect(near.find('legn1')?.describe()).toMatchObject({
      nvme: [
        { trid, ctrlr_data: { serial_number: 'SN', model_number: 'Model' }, ns_data: { id: 1 } },
      ],
    });
  });

  test('gives no bdev for a uuid that is taken', async () => {
    near.register(new MallocBdev('own', 4096, 4096, UUID));
    expect(await attach()).toEqual([]);
    expect(near.list().map((bdev) => bdev.name)).toEqual(['own']);
    await call('bdev_nvme_detach_controller', { name: 'leg' });
    expect(near.find(UUID)?.name).toBe('own');
  });

  test('follows namespaces that come, go and grow', async () => {
    await attach();
    const sizes: number[] = [];
    near.listen((event, bdev) => event === 'bdev_resize' && sizes.push(bdev.sizeBytes));
    const grown = new GrowingBdev('grown', 2 * MIB);
    far.register(grown);
    await addNamespace('grown');
    await eventually(() => expect(near.find('legn2')?.uuid).toBe(grown.uuid));
    grown.resize(3 * MIB);
    far.resized(grown);
    await eventually(() => expect(sizes).toEqual([3 * MIB]));
    await farNvmf.removeNamespace(NQN, 1);
    await eventually(() => expect(near.list().map((bdev) => bdev.name)).toEqual(['legn2']));
  });

  test('is lost with its bdevs when the target stays away, and I/O ends with `gone`', async () => {
    await attach({ ctrlr_loss_timeout_sec: 1, reconnect_delay_sec: 1 });
    const bdev = near.find('legn1');
    await farNvmf.deleteSubsystem(NQN);
    const read = bdev?.read(0, 4096).catch((error: unknown) => error);
    await eventually(() => expect(near.list()).toEqual([]));
    expect(await read).toBeInstanceOf(BlockIoError);
    expect(await read).toMatchObject({ failure: 'gone' });
    expect(await call('bdev_nvme_get_controllers')).toEqual([]);
  });

  test('that is not to reconnect does so once, and then stays, failed, until it is reset', async () => {
    await attach();
    const bdev = near.find('legn1');
    await farNvmf.removeHost(NQN, HOST, 0);
    await eventually(() =>
      expect(module.describe('leg')).toMatchObject([{ ctrlrs: [{ state: 'failed' }] }]),
    );
    await expect(bdev?.read(0, 4096)).rejects.toMatchObject({ failure: 'gone' });
    await expect(call('bdev_nvme_reset_controller', { name: 'leg' })).rejects.toMatchObject({
      code: -5,
    });
    expect(near.find('legn1')).toBe(bdev);
    farNvmf.addHost(NQN, HOST);
    await call('bdev_nvme_reset_controller', { name: 'leg' });
    expect(module.describe('leg')).toMatchObject([{ ctrlrs: [{ state: 'enabled' }] }]);
    await bdev?.write(0, Buffer.alloc(4096, 7));
    // Gone for a moment only: the one attempt finds it again.
    const before = farNvmf.require(NQN).subsystem.controllers()[0]?.cntlid;
    await farNvmf.allowAnyHost(NQN, true);
    await farNvmf.removeHost(NQN, HOST, 0);
    await eventually(() => {
      const [controller] = farNvmf.require(NQN).subsystem.controllers();
      expect(controller?.cntlid).not.toBe(before);
      expect(module.describe('leg')).toMatchObject([{ ctrlrs: [{ state: 'enabled' }] }]);
    });
    expect((await bdev?.read(0, 4096))?.every((byte) => byte === 7)).toBe(true);
    expect(near.find('legn1')).toBe(bdev);
    await call('bdev_nvme_detach_controller', { name: 'leg' });
    expect(near.list()).toEqual([]);
  });

  test('keeps its bdevs and their I/O over a short absence of the target', async () => {
    await attach({ ctrlr_loss_timeout_sec: 10, reconnect_delay_sec: 1 });
    const bdev = near.find('legn1');
    const old = port;
    await farNvmf.deleteSubsystem(NQN);
    await eventually(() =>
      expect(module.describe('leg')).toMatchObject([
        { ctrlrs: [{ state: 'reconnect_is_delayed' }] },
      ]),
    );
    const write = bdev?.write(0, Buffer.alloc(4096, 7));
    await exportDisk(old);
    await write;
    expect((await far.find('disk')?.read(0, 4096))?.every((byte) => byte === 7)).toBe(true);
    expect(module.describe('leg')).toMatchObject([{ ctrlrs: [{ state: 'enabled' }] }]);
  });

  test('is reset under I/O without a failure', async () => {
    await attach();
    const bdev = near.find('legn1');
    const before = farNvmf.require(NQN).subsystem.controllers()[0]?.cntlid;
    let resetting = true;
    let writes = 0;
    const load = (async () => {
      while (resetting) {
        await bdev?.write((writes % 64) * 4096, Buffer.alloc(4096, writes % 251));
        writes += 1;
      }
    })();
    for (let round = 0; round < 3; round += 1)
      await call('bdev_nvme_reset_controller', { name: 'leg' });
    resetting = false;
    await load;
    expect(writes).toBeGreaterThan(0);
    expect(near.find('legn1')).toBe(bdev);
    const controllers = farNvmf.require(NQN).subsystem.controllers();
    expect(controllers).toHaveLength(1);
    expect(controllers[0]?.cntlid).not.toBe(before);
  });

  test('goes at a detach, even while it waits for its target', async () => {
    await attach({ ctrlr_loss_timeout_sec: -1, reconnect_delay_sec: 1 });
    const bdev = near.find('legn1');
    await farNvmf.deleteSubsystem(NQN);
    const read = bdev?.read(0, 4096).catch((error: unknown) => error);
    await call('bdev_nvme_detach_controller', { name: 'leg' });
    expect(await read).toBeInstanceOf(BlockIoError);
    expect(near.list()).toEqual([]);
  });
});

describe('a controller with two paths', () => {
  let second: string;

  /** On an address of its own, since the port is given by the system. */
  const listen = async (traddr: string): Promise<string> => {
    const address = { adrfam: 'IPv4', traddr, trsvcid: '0' } as const;
    await farNvmf.addListener(NQN, address, AnaState.optimized);
    const ports = farNvmf.require(NQN).subsystem.ports();
    return ports.find((each) => each.address.traddr === traddr)?.address.trsvcid ?? '';
  };
  const stopListening = (traddr: string, trsvcid: string): Promise<void> =>
    farNvmf.removeListener(NQN, { adrfam: 'IPv4', traddr, trsvcid });
  const attachBoth = async (times: object): Promise<void> => {
    await attach({ multipath: 'failover', ...times });
    expect(await attach({ multipath: 'failover', traddr: '127.0.0.2', trsvcid: second })).toEqual(
      [],
    );
  };
  const addresses = (): unknown =>
    (
      module.describe('leg') as readonly {
        ctrlrs: readonly { trid: JsonObject; alternate_trids?: readonly JsonObject[] }[];
      }[]
    ).flatMap(({ ctrlrs }) =>
      ctrlrs.flatMap(({ trid, alternate_trids: others = [] }) =>
        [trid, ...others].map((each) => each['traddr']),
      ),
    );

  beforeEach(async () => {
    second = await listen('127.0.0.2');
  });

  test.each([
    ['that reconnects', { ctrlr_loss_timeout_sec: 10, reconnect_delay_sec: 1 }],
    ['that never reconnects', {}],
  ])('%s fails over, and back, without a failure of I/O', async (_name, times) => {
    await attachBoth(times);
    expect(addresses()).toEqual(['127.0.0.1', '127.0.0.2']);
    const bdev = near.find('legn1');
    let isLoaded = true;
    let writes = 0;
    const load = (async () => {
      for (; isLoaded; writes += 1)
        await bdev?.write((writes % 64) * 4096, Buffer.alloc(4096, writes % 251));
    })();
    await stopListening('127.0.0.1', port);
    await eventually(() => expect(addresses()).toEqual(['127.0.0.2', '127.0.0.1']));
    const before = writes;
    await eventually(() => expect(writes).toBeGreaterThan(before));
    await farNvmf.addListener(
      NQN,
      { adrfam: 'IPv4', traddr: '127.0.0.1', trsvcid: port },
      AnaState.optimized,
    );
    await stopListening('127.0.0.2', second);
    await eventually(() => expect(addresses()).toEqual(['127.0.0.1', '127.0.0.2']));
    isLoaded = false;
    await load;
    expect(near.find('legn1')).toBe(bdev);
    expect(farNvmf.require(NQN).subsystem.controllers()).toHaveLength(1);
  });

  test('waits for either of them', async () => {
    await attachBoth({ ctrlr_loss_timeout_sec: 30, reconnect_delay_sec: 1 });
    await stopListening('127.0.0.2', second);
    await stopListening('127.0.0.1', port);
    const write = near.find('legn1')?.write(0, Buffer.alloc(4096, 7));
    await eventually(() =>
      expect(module.describe('leg')).toMatchObject([
        { ctrlrs: [{ state: 'reconnect_is_delayed' }] },
      ]),
    );
    await farNvmf.addListener(
      NQN,
      { adrfam: 'IPv4', traddr: '127.0.0.2', trsvcid: second },
      AnaState.optimized,
    );
    await write;
    expect(addresses()).toEqual(['127.0.0.2', '127.0.0.1']);
  });

  test('is lost with both of them', async () => {
    await attachBoth({ ctrlr_loss_timeout_sec: 1, reconnect_delay_sec: 1 });
    await stopListening('127.0.0.2', second);
    await stopListening('127.0.0.1', port);
    const read = near.find('legn1')?.read(0, 4096);
    await expect(read).rejects.toMatchObject({ failure: 'gone' });
    await eventually(() => expect(near.list()).toEqual([]));
    expect(module.describe(undefined)).toEqual([]);
  });

  test('loses them one by one to detaches', async () => {
    await attachBoth({});
    const bdev = near.find('legn1');
    const detach = (more: object): Promise<unknown> =>
      call('bdev_nvme_detach_controller', { name: 'leg', ...more });
    await expect(detach({ traddr: '127.0.0.3' })).rejects.toMatchObject({ code: -6 });
    await detach({ traddr: '127.0.0.1' });
    expect(addresses()).toEqual(['127.0.0.2']);
    await bdev?.write(0, Buffer.alloc(4096, 7));
    await attach({ multipath: 'failover' });
    await detach({ traddr: '127.0.0.1' });
    expect(addresses()).toEqual(['127.0.0.2']);
    expect(near.find('legn1')).toBe(bdev);
    await detach({ traddr: '127.0.0.2' });
    expect(near.list()).toEqual([]);
  });

  test('does not give the last path that works', async () => {
    await attachBoth({});
    await stopListening('127.0.0.2', second);
    await expect(
      call('bdev_nvme_detach_controller', { name: 'leg', traddr: '127.0.0.1' }),
    ).rejects.toMatchObject({ code: -5 });
    await near.find('legn1')?.write(0, Buffer.alloc(4096, 7));
    expect(addresses()).toEqual(['127.0.0.1', '127.0.0.2']);
  });

  test.each([
    ['the same again', { traddr: '127.0.0.2' }, -17, 'File exists'],
    [
      'the one in use',
      {},
      -114,
      'A controller named leg already exists with the specified network path',
    ],
    [
      'of another host',
      { hostnqn: `${HOST}2`, trsvcid: '1' },
      -22,
      `A controller named leg already exists, but uses a different hostnqn (${HOST})`,
    ],
    ['for another mode', { multipath: 'multipath', trsvcid: '1' }, -22, 'Invalid argument'],
    ['where nobody listens', { trsvcid: '1' }, -5, 'Input/output error'],
  ])('refuses a path: %s', async (_name, params, code, message) => {
    await attachBoth({});
    const path = 'traddr' in params ? { trsvcid: second } : {};
    await expect(attach({ multipath: 'failover', ...path, ...params })).rejects.toMatchObject({
      code,
      message,
    });
    expect(addresses()).toEqual(['127.0.0.1', '127.0.0.2']);
  });
});

test('a path that leads to another namespace is refused', async () => {
  await attach({ multipath: 'failover' });
  const [first, firstPort] = [farNvmf, port];
  far = new TargetBdevs();
  far.register(new MallocBdev('disk', 4096, 4 * MIB));
  farNvmf = new NvmfTarget(far, silentLog);
  farNvmf.createTransport('TCP', DEFAULT_TRANSPORT_OPTIONS);
  await exportDisk();
  await expect(attach({ multipath: 'failover' })).rejects.toMatchObject({ code: -22 });
  await eventually(() => expect(farNvmf.require(NQN).subsystem.controllers()).toEqual([]));
  expect(module.describe('leg')).toMatchObject([{ ctrlrs: [{ trid: { trsvcid: firstPort } }] }]);
  await module.close();
  await first.close();
});

describe('refusals', () => {
  test.each([
    [{ name: '' }, -22, 'Invalid argument'],
    [{ trtype: 'PCIe' }, -22, 'Failed to parse trtype: PCIe'],
    [{ adrfam: 'smoke' }, -22, 'Failed to parse adrfam: smoke'],
    [{ num_io_queues: 0 }, -22, 'num_io_queues out of bounds, min: 1 max: 65536'],
    [{ max_bdevs: 0 }, -22, 'max_bdevs cannot be zero'],
    [{ ctrlr_loss_timeout_sec: 5 }, -22, 'Invalid argument'],
    [{ hostnqn: 'nqn.2026-01.io.lariat:stranger' }, -5, 'Input/output error'],
    [{ subnqn: 'nqn.2026-01.io.lariat:other' }, -5, 'Input/output error'],
    [{ trsvcid: '1' }, -5, 'Input/output error'],
    [{ trsvcid: 'x' }, -22, 'Invalid argument'],
  ])('of attach %j', async (params, code, message) => {
    await expect((async () => attach(params))()).rejects.toMatchObject({ code, message });
    expect(module.describe(undefined)).toEqual([]);
  });

  test('of a controller that is there already', async () => {
    await attach();
    await expect(attach()).rejects.toMatchObject({
      code: -114,
      message: 'A controller named leg already exists with the specified network path',
    });
    await expect(attach({ multipath: 'disable' })).rejects.toMatchObject({
      code: -114,
      message: 'A controller named leg already exists and multipath is disabled',
    });
    await expect(attach({ traddr: '127.0.0.2', subnqn: `${NQN}2` })).rejects.toMatchObject({
      code: -22,
    });
    await expect(attach({ traddr: '127.0.0.2' })).rejects.toMatchObject({ code: -95 });
    await expect(attach({ name: 'again' })).rejects.toMatchObject({ code: -17 });
    await expect(
      (async () => call('bdev_nvme_set_options', { keep_alive_timeout_ms: 1 }))(),
    ).rejects.toMatchObject({
      code: -1,
    });
  });

  test.each([
    ['bdev_nvme_detach_controller', { name: 'nope' }, -19],
    ['bdev_nvme_reset_controller', { name: 'nope' }, -19],
    ['bdev_nvme_get_controllers', { name: 'nope' }, -22],
    ['bdev_nvme_set_options', { ctrlr_loss_timeout_sec: 3 }, -22],
  ])('of %s %j', async (name, params, code) => {
    await expect((async () => call(name, params))()).rejects.toMatchObject({ code });
  });

  test('of a detach by another path', async () => {
    await attach();
    await expect(
      call('bdev_nvme_detach_controller', { name: 'leg', trsvcid: '1' }),
    ).rejects.toMatchObject({ code: -6 });
    expect(near.find('legn1')).toBeDefined();
  });
});

class GrowingBdev extends MemoryBlockDevice implements Bdev {
  readonly aliases = [];
  readonly productName = 'Growing disk';

  constructor(
    readonly name: string,
    sizeBytes: number,
  ) {
    super({ sizeBytes });
  }

  describe(): JsonObject {
    return {};
  }
}
