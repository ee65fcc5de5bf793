import { randomBytes } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
const LONG = { timeoutMs: 60_000 };

/** Where in a disk's file the bytes are; they are random, and on a disk once. */
async function find(file: FileHandle, bytes: Buffer): Promise<number> {
  const { size } = await file.stat();
  const chunk = Buffer.alloc(8 * MIB);
  for (let at = 0; at < size; at += chunk.length - bytes.length) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    const found = chunk.subarray(0, bytesRead).indexOf(bytes);
    if (found !== -1) return at + found;
  }
  throw new Error('the disk does not hold the bytes');
}

describe('a snapshot whose copies are compared', () => {
  let e2e: E2eCluster;
  const marks = { base: randomBytes(4096), later: randomBytes(4096) };
  const model = Buffer.alloc(SIZE_BYTES);
  let device: Awaited<ReturnType<E2eCluster['open']>>;
  beforeAll(async () => {
    e2e = await startE2e();
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    device = await e2e.open('v');
    await write(0, randomBytes(4 * MIB));
    await write(2 * MIB + 8192, marks.base);
    await client.request('snapshot.create', { volume: 'v', snapshot: 's1' });
    await write(5 * MIB, marks.later);
    await client.request('snapshot.create', { volume: 'v', snapshot: 's2' });
  });
  afterAll(async () => {
    await device.close();
    await e2e.stop();
  });

  const write = async (offset: number, data: Buffer): Promise<void> => {
    await device.write(offset, data);
    data.copy(model, offset);
  };
  /** Changes one byte of the replica's copy behind the target's back. */
  const rot = async (disk: string, mark: Buffer): Promise<void> => {
    const { disks } = await e2e.client.request('disk.list', {});
    const path = disks.find(({ id }) => id === disk)?.path;
    if (path === undefined) throw new Error(`there is no disk ${disk}`);
    const file = await open(path, 'r+');
    try {
      const at = await find(file, mark);
      await file.write(Buffer.from([(mark[100] ?? 0) ^ 0xff]), 0, 1, at + 100);
      await file.sync();
    } finally {
      await file.close();
    }
  };
  const volume = () => e2e.client.request('volume.get', { volume: 'v' });
  const verify = (snapshot: string, repair?: boolean) =>
    e2e.client.request(
      'snapshot.verify',
      { volume: 'v', snapshot, ...(repair === undefined ? {} : { repair }) },
      LONG,
    );
  const recorded = async (snapshot: string): Promise<string | undefined> =>
    (await e2e.client.request('snapshot.get', { volume: 'v', snapshot })).sha256;

  it('is identical where nothing is wrong, and what was found stays on record', async () => {
    const verified = await verify('s1');
    expect(verified).toMatchObject({ verdict: 'identical' });
    expect(verified.replicas.map(({ isRight }) => isRight)).toEqual([true, true, true]);
    expect(await recorded('s1')).toBe(verified.sha256);
    expect(await recorded('s2')).toBeUndefined();
  });

  it('has its odd copy made anew, while the volume is written to', async () => {
    const [odd] = (await volume()).replicas.filter(({ node }) => node !== 'n1');
    if (odd === undefined) throw new Error('no replica is away from the engine');
    await rot(odd.disk, marks.later);
    expect(await verify('s2', false)).toMatchObject({ verdict: 'differs' });
    expect((await volume()).robustness).toBe('healthy');
    let writing = true;
    const writer = (async () => {
      while (writing) await write(7 * MIB, randomBytes(64 * 1024));
    })();
    const verified = await verify('s2');
    writing = false;
    await writer;
    expect(verified.verdict).toBe('repaired');
    expect(
      verified.replicas.filter(({ isRight }) => isRight === false).map(({ replica }) => replica),
    ).toEqual([odd.id]);
    const after = await volume();
    expect(after.robustness).toBe('healthy');
    expect(after.replicas.map(({ id }) => id)).not.toContain(odd.id);
    expect(await verify('s2')).toMatchObject({ verdict: 'identical', sha256: verified.sha256 });
    expect((await device.read(0, SIZE_BYTES)).equals(model)).toBe(true);
  });

  it('is known by what was found before, when more copies are wrong than right', async () => {
    const { replicas } = await volume();
    const wrong = replicas.filter(({ node }) => node !== 'n2');
    for (const { disk } of wrong) await rot(disk, marks.base);
    const verified = await verify('s1');
    expect(verified).toMatchObject({ verdict: 'repaired', sha256: await recorded('s1') });
    const kept = (await volume()).replicas.map(({ id }) => id);
    expect(kept.filter((id) => replicas.some((before) => before.id === id))).toHaveLength(1);
    expect(await verify('s1')).toMatchObject({ verdict: 'identical' });
    for (let read = 0; read < 3; read += 1)
      expect((await device.read(0, SIZE_BYTES)).equals(model)).toBe(true);
  });

  it('is left as it is where nothing tells which copy is right', async () => {
    const { client } = e2e;
    await client.request('volume.update', { volume: 'v', replicas: 2 }, LONG);
    const mark = randomBytes(4096);
    await write(6 * MIB, mark);
    await client.request('snapshot.create', { volume: 'v', snapshot: 's3' });
    const before = await volume();
    await rot(before.replicas[0]?.disk ?? '', mark);
    const verified = await verify('s3');
    expect(verified).toMatchObject({ verdict: 'undecided', sha256: null });
    expect(verified.replicas.map(({ isRight }) => isRight)).toEqual([null, null]);
    expect((await volume()).replicas).toEqual(before.replicas);
    expect(await recorded('s3')).toBeUndefined();
  });

  it('must be there', async () => {
    await expect(verify('none')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
  });
});
