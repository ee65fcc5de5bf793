import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { ImageView } from '@lariat/contracts';
import { KIB, MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const NODES = ['n1', 'n2', 'n3'] as const;
const FS_BYTES = 48 * MIB;
const DISK_BYTES = 256 * MIB;
const READ_BYTES = 4 * MIB;
const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` };

const run = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function isThere(program: string): boolean {
  try {
    run('sh', '-c', `command -v ${program}`);
    return true;
  } catch {
    return false;
  }
}

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** Files with holes of 4 KiB to 512 KiB: what is stored by clusters of 1 MiB is full of them. */
function fillFolder(folder: string): void {
  mkdirSync(folder);
  for (let at = 0; at < 12; at += 1) {
    const file = openSync(join(folder, `file-${at}`), 'w');
    const holeBytes = 4 * KIB * 2 ** (at % 8);
    for (let piece = 0; piece < 6; piece += 1)
      writeSync(file, randomBytes(90 * KIB + at), 0, null, piece * (96 * KIB + holeBytes));
    closeSync(file);
  }
}

const convert = (raw: string, path: string, ...options: readonly string[]): string =>
  run('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...options, raw, path);

/** The clusters that were there first lie in it from the last to the first, between those that came after. */
function convertFragmented(raw: string, path: string): void {
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', path, `${FS_BYTES}`);
  const first: string[] = [];
  for (let at = FS_BYTES - 64 * KIB; at >= 0; at -= 64 * KIB)
    first.push('-c', `write -P 7 ${at} ${at % (192 * KIB) === 0 ? 20 : 4}k`);
  run('qemu-io', '-f', 'qcow2', ...first, path);
  convert(raw, path, '-n');
}

/** Each makes, of a raw file, one that a user may have. */
const KINDS: readonly (readonly [name: string, make: (raw: string, path: string) => void])[] = [
  ['sparse', (raw, path) => run('cp', '--sparse=always', raw, path)],
  ['gzip', (raw, path) => writeFileSync(path, gzipSync(readFileSync(raw)))],
  ['version-2', (raw, path) => convert(raw, path, '-o', 'compat=0.10')],
  ['compressed', (raw, path) => convert(raw, path, '-c')],
  ['fragmented', convertFragmented],
];

const hasTools = ['qemu-img', 'qemu-io', 'mke2fs', 'e2fsck'].every(isThere);

describe.skipIf(!hasTools)('an image with a file system, on dirty disks', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-file-system-'));
  const raw = join(folder, 'disk.raw');
  let e2e: E2eCluster;
  let sum: string;

  beforeAll(async () => {
    fillFolder(join(folder, 'root'));
    run('mke2fs', '-q', '-t', 'ext4', '-d', join(folder, 'root'), raw, `${FS_BYTES / KIB}k`);
    sum = sha256(readFileSync(raw));
    e2e = await startE2e();
    const { disks } = await e2e.client.request('disk.list', {});
    for (const node of NODES) {
      const path = join(folder, `${node}.img`);
      writeFileSync(path, randomBytes(DISK_BYTES));
      await e2e.client.request('disk.add', { node, path, name: 'dirty', erase: true });
    }
    for (const { node, id } of disks) await e2e.client.request('disk.remove', { node, disk: id });
  });
  afterAll(async () => {
    await e2e.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const attach = (volume: string, node: string): Promise<unknown> =>
    e2e.client.request('volume.attach', { volume, node, frontend: 'nbd' });
  async function contentOf(volume: string): Promise<Buffer> {
    const device = await e2e.open(volume);
    const pieces: Buffer[] = [];
    for (let at = 0; at < FS_BYTES; at += READ_BYTES)
      pieces.push(await device.read(at, READ_BYTES));
    await device.close();
    return Buffer.concat(pieces);
  }
  /** By nobody but e2fsck, which changes nothing. */
  function expectClean(content: Buffer): void {
    const dump = join(folder, 'dump.raw');
    writeFileSync(dump, content);
    expect(run('e2fsck', '-fn', dump)).toMatch(/\d+\/\d+ files/);
  }

  it.each(KINDS)(
    'that is %s is on three nodes, and in a volume, what qemu-img makes of it',
    async (name, make) => {
      const { client } = e2e;
      const path = join(folder, name);
      make(raw, path);
      const image: ImageView = await client.request(
        'image.create',
        { name, source: { file: { path } }, minimumCopies: 1 },
        { timeoutMs: 60_000 },
      );
      expect(image).toMatchObject({ state: 'ready', sizeBytes: FS_BYTES });
      expect(image.checksums).toContain(`sha256:${sum}`);
      expect(image.fileChecksums).toContain(`sha256:${sha256(readFileSync(path))}`);
      expect(image.allocatedBytes).toBeLessThan(FS_BYTES);
      // Of the packed one it would convert the packing.
      const given = name === 'gzip' ? raw : path;
      run('qemu-img', 'convert', '-O', 'raw', given, join(folder, 'converted.raw'));
      expect(sha256(readFileSync(join(folder, 'converted.raw')))).toBe(sum);

      await client.request('volume.create', { name, image: name, replicas: 3 });
      const { copies } = await client.request('image.get', { image: name });
      expect(copies.map(({ node, state }) => `${node} ${state}`).toSorted()).toEqual(
        NODES.map((node) => `${node} ready`),
      );
      await attach(name, 'n1');
      const content = await contentOf(name);
      expect(sha256(content)).toBe(sum);
      expectClean(content);
      await client.request('volume.detach', { volume: name });
      const { identical, replicas } = await client.request('replica.checksum', { volume: name });
      expect([identical, ...replicas.map((one) => one.sha256)]).toEqual([true, sum, sum, sum]);
      await client.request('volume.delete', { volume: name });
      await client.request('image.delete', { image: name });
    },
  );

  it('is the same after its volume was closed, and its nodes died and came back', async () => {
    const { client, cluster } = e2e;
    await client.request(
      'image.create',
      { name: 'fs', source: { file: { path: join(folder, 'compressed') } }, minimumCopies: 3 },
      { timeoutMs: 60_000 },
    );
    await until('a copy on each node', 60_000, async () => {
      const { copies } = await client.request('image.get', { image: 'fs' });
      return copies.filter(({ state }) => state === 'ready').length === 3 ? true : undefined;
    });
    await client.request('volume.create', { name: 'fs', image: 'fs', replicas: 2 });
    await attach('fs', 'n1');
    const device = await e2e.open('fs');
    // Parts of clusters that nobody wrote: what is around them on the disk must not show.
    const expected = Buffer.from(readFileSync(raw));
    for (const at of [17 * MIB + 5 * 4096, 30 * MIB, FS_BYTES - 4096]) {
      await device.write(at, Buffer.alloc(4096, 0x5a));
      expected.fill(0x5a, at, at + 4096);
    }
    await device.flush();
    await device.close();
    const changed = sha256(expected);
    expect(sha256(await contentOf('fs'))).toBe(changed);
    await client.request('volume.detach', { volume: 'fs' });
    for (const node of NODES) {
      await cluster.kill(`${node}/target`);
      await cluster.kill(node);
    }
    await until('the nodes to be back', 60_000, async () => {
      const { nodes } = await client.request('node.list', {});
      return nodes.every(({ state }) => state === 'ready') ? true : undefined;
    });
    const read = await until('the volume to be whole', 30_000, async () => {
      const sums = await client
        .request('replica.checksum', { volume: 'fs' })
        .catch(() => undefined);
      return sums?.replicas.length === 2 ? sums : undefined;
    });
    expect(read.replicas.map((one) => one.sha256)).toEqual([changed, changed]);
    await attach('fs', 'n2');
    expect(sha256(await contentOf('fs'))).toBe(changed);
    await client.request('volume.detach', { volume: 'fs' });
    const verified = await client.request('image.verify', { image: 'fs' });
    expect(verified).toMatchObject({ verdict: 'identical' });
    expect(verified.copies.map(({ isRight }) => isRight)).toEqual([true, true, true]);
  });

  it('leaves nothing', async () => {
    await e2e.client.request('volume.delete', { volume: 'fs' });
    await e2e.client.request('image.delete', { image: 'fs' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
