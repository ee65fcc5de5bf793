import { execFile, execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHECKOUT, clusterPaths, defaultLaunchPlan, findNatsServer } from '@lariat/cli';
import {
  type CommandEnvelope,
  type CommandMap,
  type ImageView,
  type OperationView,
  commandSubject,
  isEnded,
  nodeFileSubject,
} from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { NoRespondersError } from '@nats-io/nats-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const QEMU_IMG = '/usr/bin/qemu-img';
const SERVICE = 'backing-image-svc';
/** Some hundreds of pieces: far from its end when the first dozens have been asked for. */
const LARGE_BYTES = 160 * MIB;
const MIDWAY_PIECES = 40;

const run = promisify(execFile);
const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

describe('images from files of a node', () => {
  const content = randomBytes(6 * MIB - 12_345);
  content.fill(0, MIB, 3 * MIB);
  const dataDir = mkdtempSync(join(tmpdir(), 'lariat-node-files-'));
  const folder = mkdtempSync(join(tmpdir(), 'lariat-node-files-of-n2-'));
  const images = join(folder, 'images');
  const scratch = join(folder, 'scratch');
  const small = join(images, 'small.raw');
  const large = join(images, 'large.raw');
  let largeSum: string;
  let e2e: E2eCluster;
  /** What the agent of n2 was told to serve, as anybody on NATS hears it. */
  const served: CommandMap['image.serve-file']['input'][] = [];

  beforeAll(async () => {
    mkdirSync(images);
    writeFileSync(small, content);
    const env = {
      ...process.env,
      LARIAT_REBUILD: 'manual',
      // Of n2 alone: neither the image service nor another node may open its files.
      LARIAT_IMAGE_FOLDERS: '',
      LARIAT_IMAGE_SCRATCH: scratch,
    };
    const plan = defaultLaunchPlan({
      ...{ paths: clusterPaths(dataDir), natsServer: findNatsServer(env), plugins: [], env },
      ...{ split: true, target: 'soft', spdkBin: undefined },
    });
    e2e = await startE2e({
      ...{ dataDir, env },
      plan: {
        ...plan,
        agent: (natsUrl, node) => {
          const spec = plan.agent(natsUrl, node);
          const opened = node.name === 'n2' ? ['--image-folder', images] : [];
          return { ...spec, args: [...spec.args, ...opened] };
        },
      },
    });
    e2e.connection.subscribe(commandSubject('n2', 'image.serve-file'), {
      callback: (error, message) => {
        if (error === null) served.push(message.json<CommandEnvelope<'image.serve-file'>>().input);
      },
    });
  });
  beforeEach(() => {
    served.length = 0;
  });
  afterAll(async () => {
    await e2e.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const create = (name: string, path: string, more: object = {}, node = 'n2') =>
    e2e.client.request(
      'image.create',
      { ...{ name, source: { file: { node, path } }, minimumCopies: 1 }, ...more },
      { timeoutMs: 120_000 },
    );
  const imageOf = (image: string): Promise<ImageView> => e2e.client.request('image.get', { image });
  const remove = (image: string) => e2e.client.request('image.delete', { image });

  async function spaceless(): Promise<void> {
    const { disks } = await e2e.client.request('disk.list', {});
    for (const { node, images: copies, scheduledBytes } of disks)
      expect({ node, copies, scheduledBytes }).toEqual({ node, copies: 0, scheduledBytes: 0 });
    expect(existsSync(scratch) ? readdirSync(scratch) : []).toEqual([]);
  }

  async function ended(accepted: unknown): Promise<OperationView> {
    const { operation } = accepted as { operation: OperationView };
    return until(`${operation.kind} to end`, 120_000, async () => {
      const now = await e2e.client.request('operation.get', { operation: operation.id });
      return isEnded(now.state) ? now : undefined;
    });
  }

  /** Begins an import of the large file, and does something when it is well under way. */
  async function midway(name: string, act: () => unknown): Promise<OperationView> {
    const bytes = randomBytes(LARGE_BYTES);
    largeSum = `sha256:${sha256(bytes)}`;
    writeFileSync(large, bytes);
    const acted = new Promise<void>((resolve, reject) => {
      // No longer than that: where anybody listens, an import takes a dead agent for a slow one.
      const pieces = e2e.connection.subscribe(nodeFileSubject('n2', '*'), {
        max: MIDWAY_PIECES,
        callback: () => {
          if (pieces.getReceived() === MIDWAY_PIECES)
            Promise.resolve(act()).then(() => resolve(), reject);
        },
      });
    });
    const accepted = (await create(name, large, { wait: false })) as unknown;
    const [operation] = await Promise.all([ended(accepted), acted]);
    return operation;
  }

  it('are sent by its agent, by the command line as well, and it stops when they are there', async () => {
    const { stdout } = await run(join(CHECKOUT, 'lariat'), [
      ...['image', 'create', 'small', '--node-file', `n2:${small}`, '--copies', '1'],
      ...['--nats', e2e.cluster.natsUrl],
    ]);
    expect(stdout).toMatch(/state:\s+ready/);
    expect(stdout).toContain(`file ${small} of node n2`);
    const image = await imageOf('small');
    expect(image.checksums).toContain(`sha256:${sha256(content)}`);
    expect(image.fileChecksums).toContain(`sha256:${sha256(content)}`);
    expect(image).toMatchObject({ format: 'raw', source: { file: { node: 'n2', path: small } } });
    expect(served).toMatchObject([{ path: small, expected: null }]);
    await until('the file to be let go', 10_000, async () => {
      const piece = { offsetBytes: 0, lengthBytes: 1 };
      return e2e.connection
        .request(nodeFileSubject('n2', served[0]?.token ?? ''), JSON.stringify(piece), {
          timeout: 1_000,
        })
        .then(
          () => undefined,
          (reason: Error) => reason.cause instanceof NoRespondersError || undefined,
        );
    });
    await remove('small');
    await spaceless();
  });

  it.skipIf(!existsSync(QEMU_IMG))('are read as qcow2 as well', async () => {
    const raw = join(folder, 'content.raw');
    const qcow2 = join(images, 'small.qcow2');
    writeFileSync(raw, Buffer.concat([content, Buffer.alloc(12_345)]));
    execFileSync(QEMU_IMG, ['convert', '-O', 'qcow2', '-c', raw, qcow2]);
    const image = await create('packed', qcow2);
    expect(image).toMatchObject({ state: 'ready', format: 'qcow2' });
    expect(image.fileChecksums).toContain(`sha256:${sha256(readFileSync(qcow2))}`);
    expect(image.checksums).toContain(`sha256:${sha256(readFileSync(raw))}`);
    await remove('packed');
    await spaceless();
  });

  it('are refused, each for its reason, when its agent may not open them', async () => {
    symlinkSync('/etc/passwd', join(images, 'link'));
    mkdirSync(join(images, 'folder'));
    writeFileSync(join(images, 'empty'), '');
    for (const [name, path, node, code, text] of [
      ['closed', small, 'n1', 'IMAGE_FILES_CLOSED', "agent of node 'n1'"],
      ['elsewhere', '/etc/passwd', 'n2', 'IMAGE_SOURCE_REFUSED', 'LARIAT_IMAGE_FOLDERS'],
      ['link', join(images, 'link'), 'n2', 'IMAGE_SOURCE_REFUSED', 'LARIAT_IMAGE_FOLDERS'],
      ['folder', join(images, 'folder'), 'n2', 'IMAGE_SOURCE_REFUSED', 'not a regular file'],
      ['missing', join(images, 'missing'), 'n2', 'IMAGE_SOURCE_NOT_FOUND', 'missing'],
      ['empty', join(images, 'empty'), 'n2', 'IMAGE_EMPTY', 'empty'],
    ] as const) {
      const message = expect.stringContaining(text) as string;
      await expect(create(name, path, {}, node)).rejects.toMatchObject({ code, message });
      expect(await imageOf(name)).toMatchObject({ state: 'failed', copies: [], failure: { code } });
      await remove(name);
    }
    await expect(create('nowhere', small, {}, 'n9')).rejects.toMatchObject({
      code: 'NODE_NOT_FOUND',
    });
    await expect(imageOf('nowhere')).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    await spaceless();
  });

  it('go on where they were when the agent is killed on the way, and is back', async () => {
    const operation = await midway('resumed', () => e2e.cluster.kill('n2'));
    expect(operation).toMatchObject({ state: 'succeeded', error: null });
    expect((await imageOf('resumed')).fileChecksums).toContain(largeSum);
    // Told again under the first token: the import that goes on is the one that was begun.
    expect(served.length).toBeGreaterThan(1);
    const [first, ...again] = served;
    for (const { token, expected } of again)
      expect({ token, expected }).toEqual({
        token: first?.token,
        expected: expect.objectContaining({ sizeBytes: LARGE_BYTES }) as unknown,
      });
    await remove('resumed');
    await spaceless();
  });

  it('begin anew when the image service is killed on the way', async () => {
    const operation = await midway('anew', () => e2e.cluster.kill(SERVICE));
    expect(operation).toMatchObject({ state: 'succeeded', error: null });
    expect((await imageOf('anew')).fileChecksums).toContain(largeSum);
    expect(new Set(served.map(({ token }) => token)).size).toBe(2);
    await remove('anew');
    await spaceless();
  });

  it('fail when the file changes on the way', async () => {
    for (const [name, change] of [
      ['grown', () => appendFileSync(large, 'more')],
      ['removed', () => rmSync(large)],
    ] as const) {
      const operation = await midway(name, change);
      const failure = { code: 'IMAGE_SOURCE_CHANGED' };
      expect(operation).toMatchObject({ state: 'failed', error: failure });
      expect(await imageOf(name)).toMatchObject({ state: 'failed', copies: [], failure });
      await remove(name);
    }
    await spaceless();
  });

  it('fail when their node is declared gone on the way', async () => {
    // So that what is written is on another one.
    await e2e.client.request('node.cordon', { node: 'n2' });
    const operation = await midway('gone', () => e2e.cluster.killNode('n2'));
    const failure = { code: 'NODE_NOT_READY' };
    expect(operation).toMatchObject({ state: 'failed', error: failure });
    expect(await imageOf('gone')).toMatchObject({ state: 'failed', copies: [], failure });
    await e2e.cluster.startNode('n2');
    await e2e.client.request('node.uncordon', { node: 'n2' });
    await remove('gone');
    await until('the node to be back', 30_000, async () => {
      const { state } = await e2e.client.request('node.get', { node: 'n2' });
      return state === 'ready' ? true : undefined;
    });
    await spaceless();
    expect(await e2e.leftovers()).toEqual([]);
  });
});
