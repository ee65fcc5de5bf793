import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { pattern, readAt, sha256, writeAt } from './support/pattern.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';
import { waitUntil } from './support/wait-until.js';

const MIB = 1024 * 1024;
const SIZE_MIB = 16;
const ENGINE_HOST = 'nqn.2026-01.io.lariat:engine';
const USER_HOST = 'nqn.2026-01.io.lariat:user';
const LEG_NQN = 'nqn.2026-01.io.lariat:leg-b';
const VOLUME_NQN = 'nqn.2026-01.io.lariat:volume';
const RAID_UUID = '6c1e7a40-8f5d-4f0c-9d7a-2f4c8a1b3e55';

describe.each(TARGET_KINDS)('$name: a volume of two legs on two targets', (kind) => {
  let lab: Lab;
  let near: TargetProcess;
  let far: TargetProcess;
  let nearLvol: string;
  let farLvol: string;

  beforeEach(async (context) => {
    if (kind.missing !== undefined) return context.skip(kind.missing);
    lab = await Lab.open(kind);
    near = await lab.startTarget();
    far = await lab.startTarget();
    await Promise.all([near.makeStore(), far.makeStore()]);
    nearLvol = await near.createLvol('leg', SIZE_MIB);
    farLvol = await far.createLvol('leg', SIZE_MIB);
    await far.exportBdev(LEG_NQN, farLvol, ENGINE_HOST);
    await near.spdk.nvme.attachController({
      name: 'far',
      traddr: '127.0.0.1',
      trsvcid: far.port,
      subnqn: LEG_NQN,
      hostnqn: ENGINE_HOST,
      ctrlrLossTimeoutSeconds: 5,
      reconnectDelaySeconds: 1,
      fastIoFailTimeoutSeconds: 2,
    });
    await near.spdk.raid.create({
      name: 'volume',
      raidLevel: 'raid1',
      baseBdevs: [nearLvol, 'farn1'],
      uuid: RAID_UUID,
    });
    await near.exportBdev(VOLUME_NQN, 'volume', USER_HOST);
  });

  afterEach(async (context) => {
    if (kind.missing === undefined) await lab.close(context);
  });

  const connectVolume = async () => {
    const connection = await connectNamespace(near.port, VOLUME_NQN, USER_HOST);
    lab.onClose(connection.close);
    return connection;
  };

  /** What a leg holds, seen through an export of a snapshot of it. */
  const contentOf = async (target: TargetProcess, lvol: string, name: string): Promise<Buffer> => {
    const snapshot = await target.spdk.lvol.snapshot(lvol, name);
    const nqn = `nqn.2026-01.io.lariat:${name}`;
    await target.exportBdev(nqn, snapshot, USER_HOST);
    const { device, close } = await connectNamespace(target.port, nqn, USER_HOST);
    const content = await readAt(device, 0, device.sizeBytes);
    await close();
    await target.spdk.nvmf.deleteSubsystem(nqn);
    return content;
  };

  test('shows the namespace with the uuid and the size of the remote lvol', async () => {
    const leg = await near.spdk.bdev.getBdev('farn1');
    expect(leg).toMatchObject({
      uuid: farLvol,
      sizeBytes: SIZE_MIB * MIB,
      productName: 'NVMe disk',
      claimed: true,
    });
    const raid = await near.spdk.bdev.getBdev('volume');
    expect(raid).toMatchObject({
      uuid: RAID_UUID,
      sizeBytes: SIZE_MIB * MIB,
      productName: 'Raid Volume',
    });
    const [controller] = await near.spdk.nvme.getControllers();
    expect(controller).toMatchObject({
      name: 'far',
      paths: [
        {
          state: 'enabled',
          hostNqn: ENGINE_HOST,
          address: { traddr: '127.0.0.1', subnqn: LEG_NQN },
        },
      ],
    });
    expect(await far.spdk.nvmf.getControllers(LEG_NQN)).toMatchObject([{ hostNqn: ENGINE_HOST }]);
  });

  test('reads zeros where nothing was written, and gives both legs the same bytes', async () => {
    const { device } = await connectVolume();
    expect(await readAt(device, 0, MIB)).toEqual(Buffer.alloc(MIB));
    const data = pattern(3 * MIB);
    await writeAt(device, 5 * MIB + 4096, data);
    await device.flush();
    expect(sha256(await readAt(device, 5 * MIB + 4096, data.length))).toBe(sha256(data));
    const [nearContent, farContent] = [
      await contentOf(near, nearLvol, 'n1'),
      await contentOf(far, farLvol, 'f1'),
    ];
    expect(sha256(nearContent)).toBe(sha256(farContent));
    expect(nearContent.subarray(5 * MIB + 4096, 8 * MIB + 4096).equals(data)).toBe(true);
    expect(nearContent.subarray(0, 5 * MIB + 4096).every((byte) => byte === 0)).toBe(true);
  });

  test('keeps a snapshot while the head goes on, and clones it', async () => {
    const { device } = await connectVolume();
    const before = pattern(2 * MIB);
    await writeAt(device, 0, before);
    const snapshot = await near.spdk.lvol.snapshot(nearLvol, 'snap');
    await writeAt(device, MIB, pattern(MIB));
    const clone = await near.spdk.lvol.clone(snapshot, 'clone');
    await near.exportBdev('nqn.2026-01.io.lariat:clone', clone, USER_HOST);
    const cloned = await connectNamespace(near.port, 'nqn.2026-01.io.lariat:clone', USER_HOST);
    lab.onClose(cloned.close);
    expect(sha256(await readAt(cloned.device, 0, before.length))).toBe(sha256(before));
    const tail = pattern(4096);
    await cloned.device.write(0, tail);
    expect((await device.read(0, 4096)).equals(before.subarray(0, 4096))).toBe(true);
    expect((await cloned.device.read(0, 4096)).equals(tail)).toBe(true);
    expect((await near.spdk.bdev.getBdev(snapshot)).lvol).toMatchObject({ isSnapshot: true });
    expect((await near.spdk.bdev.getBdev(clone)).lvol).toMatchObject({
      isClone: true,
      baseSnapshot: 'snap',
    });
  });

  test('goes on with one leg when the target of the other is killed under load', async () => {
    const { device } = await connectVolume();
    const first = pattern(4 * MIB);
    await writeAt(device, 0, first);
    const eventsBefore = await near.spdk.app.getNotifications(0);
    const second = pattern(4 * MIB);
    const writing = writeAt(device, 2 * MIB, second);
    await far.kill();
    await writing;
    const [raid] = await near.spdk.raid.getBdevs('online');
    expect(raid).toMatchObject({ numBaseBdevsOperational: 1 });
    expect(raid?.baseBdevs.map((base) => base.name)).toContain(null);
    const lost = await waitUntil('the notification of the lost leg', 15_000, async () => {
      const events = await near.spdk.app.getNotifications((eventsBefore.at(-1)?.id ?? -1) + 1);
      return events.find((event) => event.type === 'bdev_unregister' && event.subject === 'farn1');
    });
    expect(lost.subject).toBe('farn1');
    const expected = Buffer.concat([first.subarray(0, 2 * MIB), second]);
    expect(sha256(await readAt(device, 0, expected.length))).toBe(sha256(expected));

    await far.restart();
    await far.openDisk();
    const content = await contentOf(far, farLvol, 'after-kill');
    expect(sha256(content.subarray(0, 2 * MIB))).toBe(sha256(first.subarray(0, 2 * MIB)));
  });

  test('has all that was acknowledged after the engine itself is killed and restarted', async () => {
    const { device, close } = await connectVolume();
    const data = pattern(6 * MIB);
    await writeAt(device, 1 * MIB, data);
    await near.kill();
    await close();
    await near.restart();
    await near.openDisk();
    expect(await near.spdk.raid.getBdevs('all')).toEqual([]);
    expect(await near.spdk.nvmf.getSubsystems()).not.toContainEqual(
      expect.objectContaining({ nqn: VOLUME_NQN }),
    );
    expect(await near.spdk.lvol.getLvols({ lvsName: near.storeName })).toMatchObject([
      { name: 'leg', uuid: nearLvol },
    ]);
    const content = await contentOf(near, nearLvol, 'recovered');
    expect(sha256(content.subarray(MIB, MIB + data.length))).toBe(sha256(data));
    expect(content.subarray(0, MIB).every((byte) => byte === 0)).toBe(true);
  });
});
