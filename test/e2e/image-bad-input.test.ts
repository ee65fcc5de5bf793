import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { DiskView, ImageView } from '@lariat/contracts';
import { GIB, type LariatError, MIB, TIB, delay, newVolumeId, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const DISK_BYTES = 96 * MIB;
/** More of the disk than an image leaves that is promised to it all the same. */
const FILLER_BYTES = 80 * MIB;
const SCRATCH_BYTES = 6 * MIB;
const MAX_BYTES = 256 * MIB;
const PATIENCE_MS = 700;
const CONTENT = randomBytes(4 * MIB);
const QEMU_IMG = '/usr/bin/qemu-img';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

const whole =
  (body: Buffer, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_request, response) =>
    void response.writeHead(200, { 'content-length': body.length, ...headers }).end(body);
/** Tells of all of the body, and ends the connection in its midst. */
const cut =
  (body: Buffer, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_request, response) => {
    response.writeHead(200, { 'content-length': body.length, ...headers });
    response.write(body.subarray(0, body.length / 2), () => response.destroy());
  };
/** One answer after the other; the last one for ever. */
function inTurn(...answers: readonly Answer[]): Answer {
  let asked = 0;
  return (request, response) => {
    const answer = answers[Math.min(asked, answers.length - 1)];
    asked += 1;
    answer?.(request, response);
  };
}

function canMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), 'lariat-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'none', probe], { stdio: 'ignore' });
    execFileSync('umount', [probe]);
    return true;
  } catch {
    // Not root, or in a container that may not.
    return false;
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}
const CAN_MOUNT = canMount();

describe('an image that is bad, or can not be had,', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-bad-images-'));
  const scratch = join(folder, 'scratch');
  const paths = new Map<string, Answer>();
  let server: Server;
  let base: string;
  let e2e: E2eCluster;
  let before: readonly string[];

  beforeAll(async () => {
    server = createServer((request, response) => {
      const { pathname } = new URL(request.url ?? '/', 'http://here');
      const answer = paths.get(pathname);
      if (answer === undefined) response.writeHead(404).end();
      else answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    mkdirSync(scratch);
    if (CAN_MOUNT)
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SCRATCH_BYTES}`, 'none', scratch]);
    e2e = await startE2e({
      nodes: 2,
      diskSizeBytes: DISK_BYTES,
      env: {
        ...process.env,
        LARIAT_REBUILD: 'manual',
        LARIAT_IMAGE_ALLOW: '127.0.0.1',
        LARIAT_IMAGE_FOLDERS: folder,
        LARIAT_IMAGE_SCRATCH: scratch,
        LARIAT_IMAGE_MAX_BYTES: String(MAX_BYTES),
        LARIAT_IMAGE_PATIENCE_MS: String(PATIENCE_MS),
      },
    });
    // All goes to one disk, until another one is wanted.
    await e2e.client.request('node.cordon', { node: 'n2' });
    before = [];
  });
  afterAll(async () => {
    await e2e.stop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    if (CAN_MOUNT) execFileSync('umount', [scratch]);
    rmSync(folder, { recursive: true, force: true });
  });

  const create = (name: string, source: object): Promise<ImageView> =>
    e2e.client.request('image.create', { name, source, minimumCopies: 1 }, { timeoutMs: 90_000 });
  const fromUrl = (path: string): object => ({ url: `${base}${path}` });
  const fromFile = (data: Buffer): object => {
    const path = join(folder, 'image');
    writeFileSync(path, data);
    return { file: { path } };
  };
  const qemu = (tool: string, ...args: readonly string[]): void =>
    void execFileSync(tool, args, { cwd: folder, stdio: 'ignore' });

  /** No lvol, no export, no promise, no name, no scratch file: nothing but what was there before. */
  async function expectNothingLeft(): Promise<void> {
    const deadlineMs = performance.now() + 10_000;
    let left = await e2e.leftovers(0);
    while (JSON.stringify(left) !== JSON.stringify(before) && performance.now() < deadlineMs) {
      await delay(100);
      left = await e2e.leftovers(0);
    }
    expect(left).toEqual(before);
    expect(readdirSync(scratch)).toEqual([]);
  }

  const diskOf = async (node: string): Promise<DiskView> => {
    const { disks } = await e2e.client.request('disk.list', { node });
    const [disk] = disks;
    if (disk === undefined) throw new Error(`${node} has no disk`);
    return disk;
  };

  /** Another disk takes the image, from which it does not get onto the full one, and leaves nothing there. */
  async function expectNoSpread(content: Buffer, node: string, disk: string): Promise<void> {
    await e2e.client.request('node.cordon', { node: 'n1' });
    await e2e.client.request('node.uncordon', { node: 'n2' });
    const { id: image } = await create('good', fromFile(content));
    const asked = { image, disks: [{ node, disk }], volume: newVolumeId() };
    await expect(
      e2e.client.request('internal.image.ensure-copies', asked, { timeoutMs: 60_000 }),
    ).rejects.toMatchObject({
      ...{ code: 'IMAGE_COPY_FAILED', details: { node, disk, code: 'DISK_FULL' } },
      message: expect.stringContaining(`disk ${disk} of node '${node}'`) as string,
    });
    expect(await e2e.client.request('image.get', { image })).toMatchObject({
      ...{ state: 'ready', copies: [{ node: 'n2', state: 'ready' }] },
    });
    expect((await diskOf(node)).images).toBe(0);
    await e2e.client.request('image.delete', { image });
    await expectNothingLeft();
  }

  /** What the import fails with, which is on record until it is deleted, and leaves nothing. */
  async function refusalOf(source: object): Promise<LariatError> {
    const error = await create('bad', source).then(
      () => new Error('it was imported'),
      (reason: unknown) => reason,
    );
    const { code, message } = toLariatError(error);
    expect(await e2e.client.request('image.get', { image: 'bad' })).toMatchObject({
      ...{ state: 'failed', copies: [], operation: null, failure: { code, message } },
    });
    expect((await diskOf('n1')).images).toBe(0);
    await e2e.client.request('image.delete', { image: 'bad' });
    await expectNothingLeft();
    return toLariatError(error);
  }

  describe('for its server', () => {
    it('ends it too early each time', async () => {
      paths.set('/cut', cut(CONTENT));
      expect(await refusalOf(fromUrl('/cut'))).toMatchObject({ code: 'IMAGE_TRUNCATED' });
    });

    it('goes on with another file by its ETag', async () => {
      paths.set(
        '/etag',
        inTurn(cut(CONTENT, { etag: '"one"' }), whole(randomBytes(4 * MIB), { etag: '"two"' })),
      );
      expect(await refusalOf(fromUrl('/etag'))).toMatchObject({ code: 'IMAGE_SOURCE_CHANGED' });
    });

    it('goes on with another file, and has no ETag to tell', async () => {
      paths.set('/other', inTurn(cut(CONTENT), whole(randomBytes(4 * MIB))));
      expect(await refusalOf(fromUrl('/other'))).toMatchObject({ code: 'IMAGE_SOURCE_CHANGED' });
    });

    it('goes on from elsewhere than it was asked to', async () => {
      const part: Answer = (_request, response) => {
        const last = CONTENT.length - 1;
        response.writeHead(206, {
          'content-range': `bytes 0-${last}/${CONTENT.length}`,
          etag: '"one"',
        });
        response.end(CONTENT);
      };
      paths.set('/lies', inTurn(cut(CONTENT, { etag: '"one"' }), part));
      expect(await refusalOf(fromUrl('/lies'))).toMatchObject({
        code: 'IMAGE_SOURCE_INCONSISTENT',
      });
    });

    it('leads from one place to the next without an end', async () => {
      let places = 0;
      paths.set('/on', (_request, response) => {
        places += 1;
        response.writeHead(302, { location: `/on?${places}` }).end();
      });
      expect(await refusalOf(fromUrl('/on'))).toMatchObject({ code: 'IMAGE_REDIRECT_REFUSED' });
      expect(places).toBeLessThan(20);
    });

    it('is not there', async () => {
      const closed = createServer();
      await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
      const { port } = closed.address() as AddressInfo;
      await new Promise((resolve) => closed.close(resolve));
      const url = `http://127.0.0.1:${port}/image`;
      expect(await refusalOf({ url })).toMatchObject({ code: 'IMAGE_SOURCE_UNAVAILABLE' });
    });

    it('never answers', async () => {
      paths.set('/silent', () => undefined);
      expect(await refusalOf(fromUrl('/silent'))).toMatchObject({
        code: 'IMAGE_SOURCE_UNAVAILABLE',
      });
    });

    it('falls silent', async () => {
      paths.set('/stalls', (_request, response) => {
        response.writeHead(200, { 'content-length': CONTENT.length });
        response.write(CONTENT.subarray(0, MIB));
      });
      expect(await refusalOf(fromUrl('/stalls'))).toMatchObject({ code: 'IMAGE_SOURCE_TOO_SLOW' });
    }, 60_000);

    it('trickles, a byte at a time', async () => {
      paths.set('/trickles', (_request, response) => {
        response.writeHead(200, { 'content-length': CONTENT.length });
        let sent = 0;
        const timer = setInterval(() => {
          response.write(CONTENT.subarray(sent, sent + 1));
          sent += 1;
        }, PATIENCE_MS / 20);
        response.on('close', () => clearInterval(timer));
      });
      expect(await refusalOf(fromUrl('/trickles'))).toMatchObject({
        code: 'IMAGE_SOURCE_TOO_SLOW',
      });
    }, 90_000);
  });

  it('is had all the same from a server without ranges that breaks midway once', async () => {
    paths.set('/once', inTurn(cut(CONTENT), whole(CONTENT)));
    expect(await create('good', fromUrl('/once'))).toMatchObject({
      ...{ state: 'ready', contentBytes: CONTENT.length },
    });
    await e2e.client.request('image.delete', { image: 'good' });
    await expectNothingLeft();
  });

  describe('for its size', () => {
    it('by the word of its server is more than is allowed', async () => {
      paths.set('/huge', (_request, response) => {
        response.writeHead(200, { 'content-length': 10 * TIB });
        response.write(CONTENT);
      });
      expect(await refusalOf(fromUrl('/huge'))).toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    });

    it('shows only when it is unpacked', async () => {
      const bomb = gzipSync(Buffer.alloc(MAX_BYTES + MIB), { level: 1 });
      expect(bomb.length).toBeLessThan(2 * MIB);
      expect(await refusalOf(fromFile(bomb))).toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    });

    it('fits on no disk', async () => {
      paths.set('/large', (_request, response) => {
        response.writeHead(200, { 'content-length': DISK_BYTES + MIB });
        response.write(CONTENT);
      });
      expect(await refusalOf(fromUrl('/large'))).toMatchObject({
        ...{ code: 'NO_CAPACITY', message: expect.stringContaining('add a disk') as string },
      });
    });
  });

  describe.skipIf(!existsSync(QEMU_IMG))(
    'for what a qcow2 is, where qemu-img is installed,',
    () => {
      /** 2 MiB at the beginning of 64 MiB, in clusters of 4 KiB. */
      function smallQcow2(): Buffer {
        qemu('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', 'a.qcow2', '64M');
        qemu('qemu-io', '-c', 'write -P 7 0 2M', '-c', 'write -P 8 60M 1M', 'a.qcow2');
        return readFileSync(join(folder, 'a.qcow2'));
      }
      /** Where its first table of tables is (QEMU's docs/interop/qcow2.txt). */
      const l1Of = (file: Buffer): number => Number(file.readBigUInt64BE(40));

      it('is cut off', async () => {
        const file = smallQcow2();
        const half = file.subarray(0, file.length / 2);
        expect(await refusalOf(fromFile(half))).toMatchObject({
          code: 'IMAGE_TRUNCATED',
          message: expect.stringContaining(String(half.length)) as string,
        });
      });

      it('has tables that go in a circle', async () => {
        const file = smallQcow2();
        const first = file.readBigUInt64BE(l1Of(file));
        // 4 KiB of entries of 4 KiB each make 2 MiB; all 32 of the tables are the first.
        for (let entry = 0; entry < 32; entry += 1)
          file.writeBigUInt64BE(first, l1Of(file) + entry * 8);
        expect(await refusalOf(fromFile(file))).toMatchObject({ code: 'IMAGE_CORRUPT' });
      });

      it('has a table that lies over its header', async () => {
        const file = smallQcow2();
        file.writeBigUInt64BE(1n << 63n, l1Of(file));
        expect(await refusalOf(fromFile(file))).toMatchObject({ code: 'IMAGE_CORRUPT' });
      });

      it('claims to be larger than is allowed, and larger than any disk', async () => {
        const claiming = (bytes: number): Buffer => {
          qemu('qemu-img', 'create', '-q', '-f', 'qcow2', 'b.qcow2', String(bytes));
          return readFileSync(join(folder, 'b.qcow2'));
        };
        expect(await refusalOf(fromFile(claiming(8 * GIB)))).toMatchObject({
          code: 'IMAGE_TOO_LARGE',
        });
        expect(await refusalOf(fromFile(claiming(MAX_BYTES)))).toMatchObject({
          code: 'NO_CAPACITY',
        });
      });

      it('says in its header that it has more tables than there is file', async () => {
        const file = smallQcow2();
        file.writeBigUInt64BE(BigInt(file.length) + 4096n, 40);
        expect(await refusalOf(fromFile(file))).toMatchObject({ code: 'IMAGE_TRUNCATED' });
      });
    },
  );

  describe.skipIf(!CAN_MOUNT)(
    'for a full disk for temporary files, where one can be mounted,',
    () => {
      it('that fills up midway', async () => {
        const packed = gzipSync(randomBytes(2 * SCRATCH_BYTES), { level: 1 });
        const { code, message } = await refusalOf(fromFile(packed));
        expect(code).toBe('IMAGE_SCRATCH_FULL');
        expect(message).toContain(scratch);
        expect(message).toContain('LARIAT_IMAGE_SCRATCH');
      });

      it.skipIf(!existsSync(QEMU_IMG))('that a qcow2 does not fit on', async () => {
        const raw = join(folder, 'raw');
        writeFileSync(raw, Buffer.alloc(4 * SCRATCH_BYTES, 7));
        qemu('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, 'c.qcow2');
        const file = readFileSync(join(folder, 'c.qcow2'));
        const full = {
          code: 'IMAGE_SCRATCH_FULL',
          message: expect.stringContaining(scratch) as string,
        };
        expect(await refusalOf(fromFile(file))).toMatchObject(full);
        writeFileSync(raw, randomBytes(2 * SCRATCH_BYTES));
        qemu('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, 'c.qcow2');
        const large = readFileSync(join(folder, 'c.qcow2'));
        expect(await refusalOf(fromFile(large))).toMatchObject(full);
      });
    },
  );

  describe('for its name', () => {
    it.each(['', 'x'.repeat(64), 'No_Label', '-', 'a/b', '../../etc/passwd'])(
      "'%s' is refused as a volume's is",
      async (name) => {
        await expect(create(name, fromFile(CONTENT))).rejects.toMatchObject({
          ...{ code: 'NAME_INVALID', kind: 'invalid' },
        });
        expect(await e2e.client.request('image.list', {})).toEqual({ images: [] });
        await expectNothingLeft();
      },
    );

    it('is imported by another one just now', async () => {
      let release = (): void => undefined;
      const released = new Promise<void>((resolve) => {
        release = resolve;
      });
      let isAsked = false;
      paths.set('/held', (_request, response) => {
        isAsked = true;
        void released.then(() => response.writeHead(200).end(CONTENT));
      });
      const source = fromUrl('/held');
      const both = Promise.all([create('one', source), create('one', source)]);
      await until('the import to run', 20_000, () => Promise.resolve(isAsked || undefined));
      await expect(create('one', fromUrl('/else'))).rejects.toMatchObject({
        code: 'OPERATION_IN_PROGRESS',
        message: expect.stringContaining('lariat operation wait') as string,
      });
      release();
      const [first, second] = await both;
      expect(first).toMatchObject({ state: 'ready' });
      expect(second).toEqual(first);
      await expect(create('one', fromUrl('/else'))).rejects.toMatchObject({
        code: 'IMAGE_NAME_TAKEN',
      });
      expect((await e2e.client.request('image.list', {})).images).toEqual([first]);
      await e2e.client.request('image.delete', { image: 'one' });
      await expectNothingLeft();
    });

    it('is wanted by two at the same moment, of which one gets it', async () => {
      paths.set('/a', whole(CONTENT));
      paths.set('/b', whole(CONTENT));
      const outcomes = await Promise.allSettled(
        ['/a', '/b'].map((at) => create('two', fromUrl(at))),
      );
      const lost = outcomes.flatMap((outcome) =>
        outcome.status === 'rejected' ? [toLariatError(outcome.reason).code] : [],
      );
      expect(lost).toHaveLength(1);
      expect(['OPERATION_IN_PROGRESS', 'IMAGE_NAME_TAKEN']).toContain(lost[0]);
      expect((await e2e.client.request('image.list', {})).images).toHaveLength(1);
      await e2e.client.request('image.delete', { image: 'two' });
      await expectNothingLeft();
    });
  });

  it('for a disk that fills up midway, since more is promised on it than it has, names the disk', async () => {
    const { id } = await diskOf('n1');
    const node = 'n1';
    await e2e.client.request('disk.update', { node, disk: id, overProvisioningPercent: 200 });
    await e2e.client.request('volume.create', {
      ...{ name: 'filler', sizeBytes: FILLER_BYTES, replicas: 1 },
    });
    await e2e.client.request('volume.attach', { volume: 'filler', node, frontend: 'nbd' });
    const device = await e2e.open('filler');
    const data = randomBytes(FILLER_BYTES);
    await device.writeAll(0, data);
    before = await e2e.leftovers(0);
    const large = randomBytes(DISK_BYTES - FILLER_BYTES + 8 * MIB);
    const error = await create('bad', fromFile(large)).catch((reason: unknown) =>
      toLariatError(reason),
    );
    expect(error).toMatchObject({ code: 'DISK_FULL', details: { node, disk: id } });
    expect((error as Error).message).toContain(`disk ${id} of node '${node}'`);
    expect(await e2e.client.request('image.get', { image: 'bad' })).toMatchObject({
      ...{ state: 'failed', copies: [], failure: { code: 'DISK_FULL' } },
    });
    await e2e.client.request('image.delete', { image: 'bad' });
    await expectNothingLeft();
    await expectNoSpread(large, node, id);
    // Who filled the disk has all of it, and can write again.
    const found: Buffer[] = [];
    for await (const chunk of device.readAll(0, FILLER_BYTES)) found.push(chunk);
    expect(Buffer.concat(found).equals(data)).toBe(true);
    await device.write(0, CONTENT);
    await device.close();
    await e2e.client.request('volume.detach', { volume: 'filler' });
    await e2e.client.request('volume.delete', { volume: 'filler' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
