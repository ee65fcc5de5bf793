import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { pattern, readAt, sha256, writeAt } from './support/pattern.js';
import { TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';

const MIB = 1024 * 1024;
const CLUSTERS = 12;
const HOST = 'nqn.2026-01.io.lariat:importer';
const nqnOf = (name: string): string => `nqn.2026-01.io.lariat:${name}`;

/** Holes of 4 to 256 KiB within clusters, and every fourth cluster all zeros. */
function sparse(): Buffer {
  const data = pattern(CLUSTERS * MIB);
  for (let cluster = 0; cluster < CLUSTERS; cluster += 1) {
    const from = cluster * MIB;
    const holeBytes = cluster % 4 === 3 ? MIB : 4096 << (cluster % 7);
    for (let at = 0; at < MIB; at += 2 * holeBytes) data.fill(0, from + at, from + at + holeBytes);
  }
  return data;
}

/** What the import of an image relies on, on a disk full of old bytes (longhorn.md S3). */
describe.each(TARGET_KINDS)('$name: an image written by whole clusters', (kind) => {
  let lab: Lab;
  let target: TargetProcess;

  beforeEach(async (context) => {
    if (kind.missing !== undefined) return context.skip(kind.missing);
    lab = await Lab.open(kind);
    target = await lab.startTarget();
    await target.soilDisk();
    await target.makeStore();
  });

  afterEach(async (context) => {
    if (kind.missing === undefined) await lab.close(context);
  });

  const whileExported = async <T>(
    bdev: string,
    name: string,
    use: (device: Awaited<ReturnType<typeof connectNamespace>>['device']) => Promise<T>,
  ): Promise<T> => {
    await target.exportBdev(nqnOf(name), bdev, HOST);
    const { device, close } = await connectNamespace(target.port, nqnOf(name), HOST);
    try {
      return await use(device);
    } finally {
      await close();
      await target.spdk.nvmf.deleteSubsystem(nqnOf(name));
    }
  };
  const sumOf = (bdev: string, name: string): Promise<string> =>
    whileExported(bdev, name, async (device) => sha256(await readAt(device, 0, device.sizeBytes)));

  test('reads the same before it is closed and after, as a snapshot, and after a restart', async () => {
    // Clusters that were used and given back are as dirty as those of the disk.
    const filler = await target.createLvol('filler', 32);
    await whileExported(filler, 'filler', (device) => writeAt(device, 0, pattern(32 * MIB)));
    await target.spdk.lvol.delete(filler);

    const image = sparse();
    const expected = sha256(image);
    const draft = await target.createLvol('draft', CLUSTERS);
    const written = Array.from({ length: CLUSTERS }, (_, at) => at).filter((at) => at % 4 !== 3);
    const open = await whileExported(draft, 'draft', async (device) => {
      for (const at of written)
        await device.write(at * MIB, image.subarray(at * MIB, (at + 1) * MIB));
      return sha256(await readAt(device, 0, device.sizeBytes));
    });
    const sums = [open, await sumOf(draft, 'again')];
    const sealed = await target.spdk.lvol.snapshot(draft, 'sealed');
    await target.spdk.lvol.delete(draft);
    const { lvol } = await target.spdk.bdev.getBdev(sealed);
    expect(lvol).toMatchObject({ allocatedClusters: written.length, isSnapshot: true });
    for (const name of ['sealed', 'sealed-again']) sums.push(await sumOf(sealed, name));
    await target.stop();
    await target.restart();
    await target.openDisk();
    sums.push(await sumOf(sealed, 'restarted'));
    expect(sums).toEqual(sums.map(() => expected));

    const clone = await target.spdk.lvol.clone(sealed, 'clone');
    await target.spdk.lvol.resize(clone, CLUSTERS + 4);
    await whileExported(clone, 'clone', async (device) => {
      const larger = Buffer.concat([image, Buffer.alloc(4 * MIB)]);
      expect((await readAt(device, 0, device.sizeBytes)).equals(larger)).toBe(true);
      // Parts of clusters: of the image, of one that it has as zeros, and past its end.
      for (const at of [0, 3, CLUSTERS + 1]) {
        const data = pattern(4096);
        data.copy(larger, at * MIB + 8192);
        await device.write(at * MIB + 8192, data);
      }
      expect((await readAt(device, 0, device.sizeBytes)).equals(larger)).toBe(true);
    });
    expect(await sumOf(sealed, 'beneath')).toBe(expected);
  });
});
