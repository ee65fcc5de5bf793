import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { checksum, pattern, readAt, sha256, writeAt } from './support/pattern.js';
import { spdkPythonClient, type SpdkPythonClient } from './support/spdk-python-client.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';
import { waitUntil } from './support/wait-until.js';

const MIB = 1024 * 1024;
const LVOL_MIB = 8;
const INSTALL_TIMEOUT_MS = 120_000;
const USER_HOST = 'nqn.2026-01.io.lariat:user';
const nqnOf = (name: string): string => `nqn.2026-01.io.lariat:${name}`;

type Fields = Readonly<Record<string, unknown>>;

describe.each(TARGET_KINDS)("$name: driven by SPDK's own client", { timeout: 120_000 }, (kind) => {
  let client: SpdkPythonClient | string;
  let lab: Lab | undefined;
  let near: TargetProcess;
  let far: TargetProcess;

  beforeAll(async () => {
    client = kind.missing ?? (await spdkPythonClient());
  }, INSTALL_TIMEOUT_MS);

  beforeEach(async (context) => {
    if (typeof client === 'string') return context.skip(client);
    lab = await Lab.open(kind);
    near = await lab.startTarget();
    far = await lab.startTarget();
  });

  afterEach(async (context) => {
    await lab?.close(context);
    lab = undefined;
  });

  const on = (target: TargetProcess, ...args: readonly string[]): Promise<string> => {
    if (typeof client === 'string') throw new Error(client);
    return client.call(target.rpcSocket, ...args);
  };

  /** The objects that a `get` method prints. */
  const list = async (target: TargetProcess, ...args: readonly string[]): Promise<Fields[]> =>
    JSON.parse(await on(target, ...args)) as Fields[];

  const exportBdev = async (target: TargetProcess, name: string, bdev: string): Promise<void> => {
    const nqn = nqnOf(name);
    await on(target, 'nvmf_create_subsystem', nqn, '-s', 'LARIAT', '-d', 'Contract');
    await on(target, 'nvmf_subsystem_add_host', nqn, USER_HOST);
    await on(target, 'nvmf_subsystem_add_ns', nqn, bdev, '-n', '1');
    const address = ['-t', 'tcp', '-f', 'ipv4', '-a', '127.0.0.1', '-s', target.port];
    await on(target, 'nvmf_subsystem_add_listener', nqn, ...address);
  };

  const connect = async (
    target: TargetProcess,
    name: string,
  ): ReturnType<typeof connectNamespace> => {
    const connection = await connectNamespace(target.port, nqnOf(name), USER_HOST);
    lab?.onClose(connection.close);
    return connection;
  };

  const makeStore = async (target: TargetProcess): Promise<void> => {
    expect(await on(target, 'bdev_aio_create', target.diskPath, 'disk', '4096')).toBe('disk');
    await on(
      target,
      'bdev_lvol_create_lvstore',
      ...['disk', 'store', '--cluster-sz', String(MIB), '--clear-method', 'write_zeroes'],
    );
    await on(target, 'bdev_wait_for_examine');
  };

  const createLvol = (target: TargetProcess, name: string): Promise<string> =>
    on(target, 'bdev_lvol_create', '-l', 'store', '-t', name, String(LVOL_MIB));

  /** Nothing is left but the process: what it prints of each kind is an empty list. */
  const expectBare = async (target: TargetProcess): Promise<void> => {
    expect(await list(target, 'bdev_raid_get_bdevs', 'all')).toEqual([]);
    expect(await list(target, 'bdev_nvme_get_controllers')).toEqual([]);
    expect(await list(target, 'bdev_lvol_get_lvstores')).toEqual([]);
    expect(await list(target, 'bdev_get_bdevs')).toEqual([]);
    const subsystems = await list(target, 'nvmf_get_subsystems');
    expect(subsystems.filter((each) => each['subtype'] === 'NVMe')).toEqual([]);
  };

  test('tells what it is and which methods it has', async () => {
    const version = JSON.parse(await on(near, 'spdk_get_version')) as Fields;
    expect(version['version']).toMatch(/\d+\.\d+/);
    const methods = await list(near, 'rpc_get_methods');
    expect(methods).toContain('bdev_lvol_snapshot');
    expect(methods).toContain('bdev_raid_create');
  });

  test('a snapshot keeps what its lvol held, and a clone of it goes its own way', async () => {
    await makeStore(near);
    const lvol = await createLvol(near, 'head');
    expect(lvol).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    await exportBdev(near, 'head', lvol);
    const head = await connect(near, 'head');
    const before = pattern(2 * MIB);
    await writeAt(head.device, MIB, before);
    await head.device.flush();

    const snapshot = await on(near, 'bdev_lvol_snapshot', lvol, 'snap');
    await writeAt(head.device, MIB, pattern(MIB));
    const clone = await on(near, 'bdev_lvol_clone', snapshot, 'clone');
    const [description] = await list(near, 'bdev_get_bdevs', '-b', 'store/clone');
    expect(description).toMatchObject({
      name: clone,
      aliases: ['store/clone'],
      driver_specific: { lvol: { clone: true, snapshot: false, base_snapshot: 'snap' } },
    });
    await exportBdev(near, 'clone', clone);
    const cloned = await connect(near, 'clone');
    expect(sha256(await readAt(cloned.device, MIB, before.length))).toBe(sha256(before));
    await writeAt(cloned.device, 0, pattern(MIB));
    expect((await readAt(head.device, 0, MIB)).equals(Buffer.alloc(MIB))).toBe(true);

    // Two lvols stand on it; with one left, that one takes over its clusters.
    await expect(on(near, 'bdev_lvol_delete', snapshot)).rejects.toThrow('not permitted');
    await cloned.close();
    await on(near, 'nvmf_delete_subsystem', nqnOf('clone'));
    await on(near, 'bdev_lvol_delete', clone);
    const content = await checksum(head.device);
    await on(near, 'bdev_lvol_delete', snapshot);
    expect(await checksum(head.device)).toBe(content);

    await head.close();
    await on(near, 'nvmf_delete_subsystem', nqnOf('head'));
    await on(near, 'bdev_lvol_delete', 'store/head');
    await on(near, 'bdev_lvol_delete_lvstore', '-l', 'store');
    await on(near, 'bdev_aio_delete', 'disk');
    await expectBare(near);
  });

  test('a mirror over two targets loses a leg, gets it back, and is taken apart', async () => {
    await makeStore(near);
    await makeStore(far);
    const nearLeg = await createLvol(near, 'leg');
    const farLeg = await createLvol(far, 'leg');
    await exportBdev(far, 'leg', farLeg);
    const remote = ['-t', 'tcp', '-f', 'ipv4', '-a', '127.0.0.1', '-s', far.port];
    const path = [...remote, '-n', nqnOf('leg'), '-q', USER_HOST];
    expect(await on(near, 'bdev_nvme_attach_controller', '-b', 'far', ...path)).toBe('farn1');
    await on(
      near,
      'bdev_raid_create',
      ...['-n', 'mirror', '-r', 'raid1', '-b', `${nearLeg} farn1`],
    );
    await exportBdev(near, 'mirror', 'mirror');
    const { device, close } = await connect(near, 'mirror');
    await writeAt(device, 0, pattern(3 * MIB));

    await on(near, 'bdev_raid_remove_base_bdev', 'farn1');
    const [degraded] = await list(near, 'bdev_raid_get_bdevs', 'online');
    expect(degraded).toMatchObject({ name: 'mirror', num_base_bdevs_operational: 1 });
    await writeAt(device, 2 * MIB, pattern(3 * MIB));
    await on(near, 'bdev_raid_add_base_bdev', 'mirror', 'farn1');
    await waitUntil('the leg to be rebuilt', 30_000, async () => {
      const [raid] = await list(near, 'bdev_raid_get_bdevs', 'online');
      return raid?.['num_base_bdevs_operational'] === 2 && raid['process'] === undefined;
    });
    const content = await checksum(device);

    await close();
    await on(near, 'nvmf_delete_subsystem', nqnOf('mirror'));
    await on(near, 'bdev_raid_delete', 'mirror');
    await on(near, 'bdev_nvme_detach_controller', 'far');
    const leg = await connect(far, 'leg');
    expect(await checksum(leg.device)).toBe(content);
    await leg.close();
    await on(far, 'nvmf_delete_subsystem', nqnOf('leg'));
    for (const target of [near, far]) {
      await on(target, 'bdev_lvol_delete', 'store/leg');
      await on(target, 'bdev_lvol_delete_lvstore', '-l', 'store');
      await on(target, 'bdev_aio_delete', 'disk');
      await expectBare(target);
    }
  });

  test('what is refused is told with the code and the message', async () => {
    await expect(on(near, 'bdev_lvol_delete', 'nope')).rejects.toThrow(
      /"code": -19,\s*"message": "No such device"/,
    );
    await expect(on(near, 'bdev_get_bdevs', '-b', 'nope')).rejects.toThrow('No such device');
  });
});
