import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { checksum, pattern, readAt, sha256, writeAt } from './support/pattern.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';
import { waitUntil } from './support/wait-until.js';

const MIB = 1024 * 1024;
const SIZE_MIB = 16;
const NODE_HOST = 'nqn.2026-01.io.lariat:node';
const USER_HOST = 'nqn.2026-01.io.lariat:user';
const nqnOf = (name: string): string => `nqn.2026-01.io.lariat:${name}`;

/** The rebuild of design section 5, steps a to e, on the target's own methods. */
describe.each(TARGET_KINDS)('$name: a rebuild by external snapshot and shallow copies', (kind) => {
  let lab: Lab;
  let source: TargetProcess;
  let destination: TargetProcess;

  beforeEach(async (context) => {
    if (kind.missing !== undefined) return context.skip(kind.missing);
    lab = await Lab.open(kind);
    source = await lab.startTarget();
    destination = await lab.startTarget();
    await Promise.all([source.makeStore(), destination.makeStore()]);
  });

  afterEach(async (context) => {
    if (kind.missing === undefined) await lab.close(context);
  });

  const attach = (at: TargetProcess, to: TargetProcess, name: string): Promise<readonly string[]> =>
    at.spdk.nvme.attachController({
      name,
      traddr: '127.0.0.1',
      trsvcid: to.port,
      subnqn: nqnOf(name),
      hostnqn: NODE_HOST,
    });

  const withDevice = async <T>(
    target: TargetProcess,
    bdev: string,
    name: string,
    use: (device: Awaited<ReturnType<typeof connectNamespace>>['device']) => Promise<T>,
  ): Promise<T> => {
    await target.exportBdev(nqnOf(name), bdev, USER_HOST);
    const { device, close } = await connectNamespace(target.port, nqnOf(name), USER_HOST);
    try {
      return await use(device);
    } finally {
      await close();
      await target.spdk.nvmf.deleteSubsystem(nqnOf(name));
    }
  };

  const shallowCopy = async (snapshot: string, onto: string): Promise<void> => {
    const operation = await source.spdk.lvol.startShallowCopy(snapshot, onto);
    const end = await waitUntil('the shallow copy', 30_000, async () => {
      const progress = await source.spdk.lvol.checkShallowCopy(operation);
      return progress.state === 'in progress' ? undefined : progress;
    });
    expect(end).toMatchObject({ state: 'complete', copiedClusters: end.totalClusters });
    await expect(source.spdk.lvol.checkShallowCopy(operation)).rejects.toMatchObject({
      errno: 'ENODEV',
    });
  };

  test('gives a chain and a head that are the same to the byte, with writes on the way', async () => {
    const head = await source.createLvol('head', SIZE_MIB);
    await withDevice(source, head, 'w1', (device) => writeAt(device, 0, pattern(5 * MIB)));
    const older = await source.spdk.lvol.snapshot(head, 'older');
    await withDevice(source, head, 'w2', (device) =>
      writeAt(device, 3 * MIB + 8192, pattern(4 * MIB)),
    );
    const newer = await source.spdk.lvol.snapshot(head, 'newer');
    const expected = await withDevice(source, newer, 'r1', (device) =>
      readAt(device, 0, device.sizeBytes),
    );

    // The new head reads through to the source from the first moment.
    await source.exportBdev(nqnOf('esnap'), newer, NODE_HOST);
    expect(await attach(destination, source, 'esnap')).toEqual(['esnapn1']);
    const newHead = await destination.spdk.lvol.cloneBdev(newer, destination.storeName, 'head');
    expect((await destination.spdk.bdev.getBdev(newHead)).lvol).toMatchObject({
      isEsnapClone: true,
    });
    const live = pattern(4096);
    const liveAt = 9 * MIB + 12_288;
    await withDevice(destination, newHead, 'live', async (device) => {
      expect(sha256(await readAt(device, 0, device.sizeBytes))).toBe(sha256(expected));
      await device.write(liveAt, live);
      await device.write(3 * MIB, live);
    });
    live.copy(expected, liveAt);
    live.copy(expected, 3 * MIB);

    // The chain is copied, oldest first, through one scratch lvol.
    const scratch = await destination.createLvol('scratch', SIZE_MIB);
    await destination.exportBdev(nqnOf('scratch'), scratch, NODE_HOST);
    expect(await attach(source, destination, 'scratch')).toEqual(['scratchn1']);
    await shallowCopy(older, 'scratchn1');
    const olderCopy = await destination.spdk.lvol.snapshot(scratch, 'older');
    await shallowCopy(newer, 'scratchn1');
    const newerCopy = await destination.spdk.lvol.snapshot(scratch, 'newer');
    await source.spdk.nvme.detachController('scratch');
    await destination.spdk.nvmf.deleteSubsystem(nqnOf('scratch'));
    await destination.spdk.lvol.delete(scratch);

    await destination.spdk.lvol.setParent(newHead, newerCopy);
    await expect(destination.spdk.lvol.setParent(newHead, newerCopy)).rejects.toMatchObject({
      errno: 'EEXIST',
    });
    await destination.spdk.nvme.detachController('esnap');
    await source.spdk.nvmf.deleteSubsystem(nqnOf('esnap'));

    const sums = async (target: TargetProcess, bdev: string, name: string): Promise<string> =>
      withDevice(target, bdev, name, checksum);
    expect(await sums(destination, newHead, 'c1')).toBe(sha256(expected));
    expect(await sums(destination, olderCopy, 'c2')).toBe(await sums(source, older, 'c3'));
    expect(await sums(destination, newerCopy, 'c4')).toBe(await sums(source, newer, 'c5'));
    expect((await destination.spdk.bdev.getBdev(newHead)).lvol).toMatchObject({
      isClone: true,
      isEsnapClone: false,
      baseSnapshot: 'newer',
    });
    expect(await destination.spdk.nvme.getControllers()).toEqual([]);
  });

  test('shows an external clone without its source as degraded, and whole again with it', async () => {
    const head = await source.createLvol('head', SIZE_MIB);
    const data = pattern(2 * MIB);
    await withDevice(source, head, 'w1', (device) => writeAt(device, MIB, data));
    const snapshot = await source.spdk.lvol.snapshot(head, 'snap');
    await source.exportBdev(nqnOf('esnap'), snapshot, NODE_HOST);
    await attach(destination, source, 'esnap');
    const clone = await destination.spdk.lvol.cloneBdev(snapshot, destination.storeName, 'clone');

    await destination.kill();
    await destination.restart();
    await destination.openDisk();
    const lvolsOf = () => destination.spdk.lvol.getLvols({ lvsName: destination.storeName });
    expect(await lvolsOf()).toMatchObject([{ uuid: clone, isEsnapClone: true, isDegraded: true }]);
    await expect(destination.spdk.bdev.getBdev(clone)).rejects.toMatchObject({ errno: 'ENODEV' });

    expect(await attach(destination, source, 'esnap')).toEqual(['esnapn1']);
    const found = await waitUntil('the clone to come up', 10_000, () =>
      destination.spdk.bdev.getBdev(clone),
    );
    expect(found.lvol).toMatchObject({ isEsnapClone: true });
    expect(await lvolsOf()).toMatchObject([{ uuid: clone, isDegraded: false }]);
    await withDevice(destination, clone, 'r1', async (device) => {
      expect(sha256(await readAt(device, MIB, data.length))).toBe(sha256(data));
    });
  });
});
