import { execFile, execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { CHECKOUT } from '@lariat/cli';
import { type ImageView, type OperationView, isEnded } from '@lariat/contracts';
import { MIB, newVolumeId } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { nodeCommands } from './node-commands.js';

const NODES = ['n1', 'n2', 'n3'];
const CLUSTERS = 12;
/** Not a whole number of clusters. */
const CONTENT_BYTES = CLUSTERS * MIB - 12_345;

/** Random bytes with clusters of zeros, and holes within others. */
function sparseContent(): Buffer {
  const content = randomBytes(CONTENT_BYTES);
  for (let cluster = 0; cluster < CLUSTERS; cluster += 1) {
    const from = cluster * MIB;
    if (cluster % 4 === 1) content.fill(0, from, from + MIB);
    if (cluster % 4 === 2) content.fill(0, from + 4096, from + 900_000);
  }
  return content;
}

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

/** What every device with the content has, written out once more: digests of clusters, and one over them. */
function rootOf(content: Buffer): string {
  const root = createHash('sha256').update(`${CLUSTERS * MIB}:`);
  const device = Buffer.concat([content, Buffer.alloc(CLUSTERS * MIB - content.length)]);
  for (let at = 0; at < device.length; at += MIB)
    root.update(
      createHash('sha256')
        .update(device.subarray(at, at + MIB))
        .digest(),
    );
  return root.digest('hex');
}

const run = promisify(execFile);
const QEMU_IMG = '/usr/bin/qemu-img';

describe('images', () => {
  const content = sparseContent();
  const root = rootOf(content);
  const folder = mkdtempSync(join(tmpdir(), 'lariat-images-e2e-'));
  const scratch = join(folder, 'scratch');
  /** What each path of the web server answers. */
  const paths = new Map<string, (request: IncomingMessage, response: ServerResponse) => void>();
  const asked: string[] = [];
  let server: Server;
  let base: string;
  let e2e: E2eCluster;

  const whole = (body: Buffer) => (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200, { 'content-length': body.length }).end(body);
  };

  beforeAll(async () => {
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      const answer = paths.get(request.url ?? '');
      if (answer === undefined) response.writeHead(404).end();
      else answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    paths.set('/debian.img', whole(content));
    e2e = await startE2e({
      split: true,
      env: {
        ...process.env,
        LARIAT_REBUILD: 'manual',
        LARIAT_IMAGE_ALLOW: '127.0.0.1',
        LARIAT_IMAGE_SCRATCH: scratch,
      },
    });
  });
  afterAll(async () => {
    await e2e.stop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true, force: true });
  });

  const create = (name: string, path: string, more: object = {}): Promise<ImageView> =>
    e2e.client.request('image.create', {
      ...{ name, source: { url: `${base}${path}` }, minimumCopies: 1, ...more },
    });
  const remove = (image: string) => e2e.client.request('image.delete', { image });
  const disksOf = async () => (await e2e.client.request('disk.list', {})).disks;

  async function spaceless(): Promise<void> {
    for (const { node, images, scheduledBytes } of await disksOf())
      expect({ node, images, scheduledBytes }).toEqual({ node, images: 0, scheduledBytes: 0 });
    const leftovers = await e2e.leftovers(2_000);
    // A failed import stays on record, and nowhere else.
    expect(leftovers.filter((line) => !line.startsWith('record lariat-image'))).toEqual([]);
    expect(existsSync(scratch) ? readdirSync(scratch) : []).toEqual([]);
  }

  const operationOf = async (accepted: unknown): Promise<OperationView> => {
    const { operation } = accepted as { operation: OperationView };
    return until(`${operation.kind} to end`, 90_000, async () => {
      const now = await e2e.client.request('operation.get', { operation: operation.id });
      return isEnded(now.state) ? now : undefined;
    });
  };

  it('are imported from a url, with all their sums, onto one disk', async () => {
    const image = await create('debian', '/debian.img', {
      checksum: `sha256:${sha256(content)}`,
    });
    expect(image).toMatchObject({
      ...{ name: 'debian', state: 'ready', format: 'raw', failure: null, operation: null },
      ...{ sizeBytes: CLUSTERS * MIB, contentBytes: CONTENT_BYTES, rootSha256: root },
      source: { url: `${base}/debian.img` },
      copies: [{ state: 'ready' }],
    });
    expect(image.checksums).toContain(`sha256:${sha256(content)}`);
    expect(image.fileChecksums).toContain(`sha256:${sha256(content)}`);
    expect(image.allocatedBytes).toBe(9 * MIB);
    expect(await e2e.client.request('image.get', { image: 'debian' })).toEqual(image);
    expect((await e2e.client.request('image.list', {})).images).toEqual([image]);
    expect((await disksOf()).filter(({ images }) => images > 0)).toHaveLength(1);
    await expect(create('debian', '/other.img')).rejects.toMatchObject({
      code: 'IMAGE_NAME_TAKEN',
    });
  });

  it('spread to all who ask, at once, while the source is read no more', async () => {
    const before = asked.length;
    const { id: image } = await e2e.client.request('image.get', { image: 'debian' });
    const disks = (await disksOf()).map(({ node, id }) => ({ node, disk: id }));
    const ask = () =>
      e2e.client.request(
        'internal.image.ensure-copies',
        { image, disks, volume: newVolumeId() },
        { timeoutMs: 60_000 },
      );
    expect(await Promise.all([ask(), ask()])).toEqual([{ ready: true }, { ready: true }]);
    expect(asked.length).toBe(before);
    const { operations } = await e2e.client.request('operation.list', {});
    expect(operations.filter(({ kind }) => kind === 'image.spread')).toHaveLength(2);
    const { copies } = await e2e.client.request('image.get', { image });
    expect(copies.map(({ node }) => node).toSorted()).toEqual(NODES);
    const send = nodeCommands(e2e.connection);
    for (const { node, disk } of copies)
      expect(await send(node, 'image.digest-copy', { image, disk, reread: true })).toEqual({
        ...{ sha256: root, sizeBytes: CLUSTERS * MIB },
      });
  });

  it('have a copy that went wrong found and replaced', async () => {
    const { copies } = await e2e.client.request('image.get', { image: 'debian' });
    const odd = copies[1];
    const disk = (await disksOf()).find(({ id }) => id === odd?.disk);
    const path = disk?.path ?? '';
    const at = readFileSync(path).indexOf(content.subarray(0, 4096));
    expect(at).toBeGreaterThan(0);
    const file = openSync(path, 'r+');
    writeSync(file, Buffer.alloc(4096, 'wrong'), 0, 4096, at);
    closeSync(file);
    const found = await e2e.client.request(
      'image.verify',
      { image: 'debian' },
      { timeoutMs: 60_000 },
    );
    expect(found).toMatchObject({ verdict: 'repaired', rootSha256: root });
    expect(found.copies.filter(({ isRight }) => isRight === false)).toMatchObject([
      { disk: odd?.disk },
    ]);
    const again = await e2e.client.request(
      'image.verify',
      { image: 'debian' },
      { timeoutMs: 60_000 },
    );
    expect(again).toMatchObject({ verdict: 'identical' });
    expect(again.copies).toHaveLength(3);
  });

  it('are deleted with all their copies', async () => {
    const would = await e2e.client.request('image.delete', { image: 'debian', dryRun: true });
    expect(would).toMatchObject({ dryRun: true });
    expect('would' in would ? would.would : []).toHaveLength(4);
    expect(await remove('debian')).toMatchObject({ name: 'debian' });
    await expect(e2e.client.request('image.get', { image: 'debian' })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
    await spaceless();
  });

  it('that cannot be had leave their reason on record, and no space used', async () => {
    paths.set('/loop', (_request, response) => {
      response.writeHead(302, { location: '/loop' }).end();
    });
    paths.set('/empty', whole(Buffer.alloc(0)));
    const packed = gzipSync(content.subarray(0, 2 * MIB), { level: 1 });
    paths.set('/truncated.gz', whole(packed.subarray(0, packed.length - 1_000)));
    paths.set('/backed', whole(backedQcow2()));
    const wrong = `sha256:${sha256(Buffer.from('something else'))}`;
    const cases = [
      ['wrong-sum', '/debian.img', { checksum: wrong }, 'IMAGE_CHECKSUM_MISMATCH'],
      ['loop', '/loop', {}, 'IMAGE_REDIRECT_REFUSED'],
      ['empty', '/empty', {}, 'IMAGE_EMPTY'],
      ['truncated', '/truncated.gz', {}, 'IMAGE_TRUNCATED'],
      ['backed', '/backed', {}, 'IMAGE_BACKING_FILE'],
      ['missing', '/no-such', {}, 'IMAGE_SOURCE_NOT_FOUND'],
      ['lying', '/debian.img', { format: 'qcow2' }, 'IMAGE_FORMAT_MISMATCH'],
    ] as const;
    for (const [name, path, more, code] of cases) {
      await expect(create(name, path, more)).rejects.toMatchObject({ code });
      const image = await e2e.client.request('image.get', { image: name });
      expect(image).toMatchObject({
        state: 'failed',
        copies: [],
        operation: null,
        failure: { code },
      });
    }
    const evidence = { expected: wrong, sha256: sha256(content) };
    expect(await e2e.client.request('image.get', { image: 'wrong-sum' })).toMatchObject({
      failure: { details: evidence },
    });
    await spaceless();
    // The name of one that failed can be used again, by one that does not.
    expect(await create('wrong-sum', '/debian.img')).toMatchObject({ state: 'ready' });
    await remove('wrong-sum');
    for (const [name] of cases.slice(1)) await remove(name);
    expect(await e2e.leftovers()).toEqual([]);
  }, 120_000);

  it('that are cancelled midway leave nothing at all', async () => {
    paths.set('/slow', (_request, response) => {
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 4 * MIB));
      // Two halves with a pause: the first is told when the second comes.
      setTimeout(() => response.write(content.subarray(4 * MIB, 6 * MIB)), 500);
    });
    const accepted = (await create('slow', '/slow', { wait: false })) as unknown;
    const { operation } = accepted as { operation: OperationView };
    await until('the download to be told of', 20_000, async () => {
      const now = await e2e.client.request('operation.get', { operation: operation.id });
      const { images } = await e2e.client.request('image.list', {});
      const isSeen = images.some(({ name, state }) => name === 'slow' && state === 'downloading');
      return (isSeen && (now.progress?.done ?? 0) > 0) || undefined;
    });
    const { progress } = await e2e.client.request('operation.get', { operation: operation.id });
    expect(progress).toMatchObject({ unit: 'bytes', total: CONTENT_BYTES });
    expect(progress?.perSecond).toBeGreaterThan(0);
    await e2e.client.request('operation.cancel', { operation: operation.id });
    expect(await operationOf(accepted)).toMatchObject({
      ...{ state: 'failed', error: { code: 'OPERATION_CANCELLED' } },
    });
    await expect(e2e.client.request('image.get', { image: 'slow' })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });
    expect(await e2e.leftovers()).toEqual([]);
    await spaceless();
  });

  it('are imported anew when the service dies on the way', async () => {
    let finish = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let requests = 0;
    paths.set('/held', (request, response) => {
      requests += 1;
      if (requests > 1) return whole(content)(request, response);
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 4 * MIB));
      void held.then(() => response.destroy());
    });
    const accepted = (await create('held', '/held', { wait: false })) as unknown;
    await until('a draft to be there', 20_000, async () => {
      const { images } = await e2e.client.request('image.list', {});
      return images.some(({ name, copies }) => name === 'held' && copies.length > 0) || undefined;
    });
    await e2e.cluster.kill('backing-image-svc');
    finish();
    expect(await operationOf(accepted)).toMatchObject({ state: 'succeeded' });
    const image = await e2e.client.request('image.get', { image: 'held' });
    expect(image).toMatchObject({ state: 'ready', rootSha256: root });
    expect(image.copies).toHaveLength(1);
    await remove('held');
    expect(await e2e.leftovers()).toEqual([]);
    await spaceless();
  });

  it('go to another node when theirs dies on the way', async () => {
    let finish = (): void => undefined;
    const dead = new Promise<void>((resolve) => {
      finish = resolve;
    });
    paths.set('/half', (_request, response) => {
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 4 * MIB));
      void dead.then(() => response.end(content.subarray(4 * MIB)));
    });
    const accepted = (await create('half', '/half', { wait: false })) as unknown;
    const copyOf = async () => {
      const { images } = await e2e.client.request('image.list', {});
      return images.find(({ name }) => name === 'half')?.copies[0];
    };
    const first = await until('a draft to be there', 20_000, copyOf);
    await e2e.cluster.killNode(first.node);
    await until('the node to be missed', 20_000, async () => {
      const { state } = await e2e.client.request('node.get', { node: first.node });
      return state === 'ready' ? undefined : true;
    });
    finish();
    expect(await operationOf(accepted)).toMatchObject({ state: 'succeeded' });
    const second = await copyOf();
    expect(second?.state).toBe('ready');
    expect(second?.node).not.toBe(first.node);
    // What is left of the draft goes when its node is back.
    await e2e.cluster.startNode(first.node);
    await remove('half');
    await until('the node to be back', 30_000, async () => {
      const { state } = await e2e.client.request('node.get', { node: first.node });
      return state === 'ready' ? true : undefined;
    });
    expect(await e2e.leftovers()).toEqual([]);
    await spaceless();
  }, 120_000);

  it('are uploaded by the command line from where it runs', async () => {
    const path = join(folder, 'upload.img.gz');
    writeFileSync(path, gzipSync(content, { level: 1 }));
    const lariat = (...args: readonly string[]) =>
      run(join(CHECKOUT, 'lariat'), ['image', ...args, '--nats', e2e.cluster.natsUrl]);
    const sum = `sha256:${sha256(readFileSync(path))}`;
    const upload = ['--file', path, '--copies', '1', '--checksum', sum];
    const { stdout } = await lariat('create', 'sent', ...upload);
    expect(stdout).toMatch(/state:\s+ready/);
    expect(stdout).toContain(root);
    expect((await lariat('verify', 'sent')).stdout).toContain(
      'every copy that was read is the image',
    );
    expect((await lariat('list')).stdout).toContain('sent');
    await expect(lariat('create', 'sent', ...upload)).rejects.toMatchObject({
      stderr: expect.stringContaining('IMAGE_NAME_TAKEN') as string,
    });
    await expect(lariat('create', 'none')).rejects.toMatchObject({
      stderr: expect.stringContaining('--service-file PATH') as string,
    });
    expect((await lariat('delete', 'sent')).stdout).toContain('deleted image sent');
    // From where the service runs, and from the folders that it is told alone.
    const read = await lariat('create', 'read', '--service-file', path, '--copies', '1');
    expect(read.stdout).toContain(root);
    await expect(lariat('create', 'passwd', '--service-file', '/etc/passwd')).rejects.toMatchObject(
      {
        stderr: expect.stringContaining('IMAGE_SOURCE_REFUSED') as string,
      },
    );
    for (const name of ['read', 'passwd']) await lariat('delete', name);
    await spaceless();
  });

  it.skipIf(!existsSync(QEMU_IMG))('are read from qcow2 files, compressed or not', async () => {
    const raw = join(folder, 'content.raw');
    writeFileSync(raw, Buffer.concat([content, Buffer.alloc(CLUSTERS * MIB - CONTENT_BYTES)]));
    for (const [name, options] of [
      ['plain', ['-o', 'cluster_size=4k']],
      ['packed', ['-c']],
    ] as const) {
      const path = join(folder, `${name}.qcow2`);
      execFileSync(QEMU_IMG, ['convert', '-O', 'qcow2', ...options, raw, path]);
      const image = await e2e.client.request(
        'image.create',
        { name, source: { file: { path, node: 'n1' } }, minimumCopies: 1 },
        { timeoutMs: 60_000 },
      );
      expect(image).toMatchObject({ state: 'ready', format: 'qcow2', rootSha256: root });
      expect(image.fileChecksums).toContain(`sha256:${sha256(readFileSync(path))}`);
      await remove(name);
    }
    await spaceless();
  });
});

/** The header of a qcow2 that wants another file (QEMU's docs/interop/qcow2.txt). */
function backedQcow2(): Buffer {
  const header = Buffer.alloc(64 * 1024);
  header.write('QFI\u00fb', 0, 'latin1');
  header.writeUInt32BE(2, 4);
  header.writeBigUInt64BE(1024n, 8);
  header.writeUInt32BE(11, 16);
  header.writeUInt32BE(16, 20);
  header.writeBigUInt64BE(BigInt(MIB), 24);
  header.write('/etc/passwd', 1024);
  return header;
}
