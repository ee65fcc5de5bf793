import { randomBytes } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CHECKOUT } from '@lariat/cli';
import { MIB, bundleOf, newUuid } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 16 * MIB;
const BLOCK_BYTES = 64 * 1024;
const BLOCKS = SIZE_BYTES / BLOCK_BYTES;
const PROGRAM = bundleOf('main.js');

describe('a target that is started anew under load', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-versions-'));
  const current = join(folder, 'current');
  let e2e: E2eCluster;

  /** The target as it is, under another version. */
  function makeVersion(version: string): void {
    const dist = join(folder, version);
    cpSync(join(CHECKOUT, 'apps', 'soft-target', 'dist'), dist, { recursive: true });
    const path = join(dist, PROGRAM);
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll('v0.1.0', version));
    // As package.json says of the original.
    writeFileSync(join(dist, 'package.json'), '{"type":"module"}');
  }

  /** At once, as a package manager does it. */
  function use(version: string): void {
    symlinkSync(join(folder, version), `${current}.new`);
    renameSync(`${current}.new`, current);
  }

  beforeAll(async () => {
    mkdirSync(folder, { recursive: true });
    symlinkSync(join(CHECKOUT, 'node_modules'), join(folder, 'node_modules'));
    for (const version of ['v1', 'v2', 'v3']) makeVersion(version);
    use('v1');
    e2e = await startE2e({
      env: {
        ...process.env,
        ...{ LARIAT_REBUILD: 'manual', LARIAT_SOFT_TARGET: join(current, PROGRAM) },
      },
    });
    const { client } = e2e;
    await client.request('volume.create', { name: 'db', sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.attach', { volume: 'db', node: 'n1', frontend: 'nbd' });
  }, 120_000);
  afterAll(async () => {
    await e2e.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const targetOf = async (node: string): Promise<string> =>
    (await e2e.client.request('node.get', { node })).target;
  const pidOf = (name: string): number =>
    e2e.cluster.processes().find((process) => process.name === name)?.pid ?? 0;

  /** Writes all the time while `work` runs; what was acknowledged must be there. Answers what that took at most. */
  async function underLoad(work: () => Promise<unknown>): Promise<number> {
    const device = await e2e.open('db');
    const content = await device.read(0, SIZE_BYTES);
    let isOver = false;
    let longestMs = 0;
    let written = 0;
    const writing = (async (): Promise<void> => {
      for (let at = 0; !isOver; at = (at + 1) % BLOCKS) {
        const block = randomBytes(BLOCK_BYTES);
        const began = performance.now();
        await device.write(at * BLOCK_BYTES, block);
        longestMs = Math.max(longestMs, performance.now() - began);
        block.copy(content, at * BLOCK_BYTES);
        written += 1;
      }
    })();
    try {
      await work();
    } finally {
      isOver = true;
      await writing;
    }
    expect(written).toBeGreaterThan(0);
    expect((await device.read(0, SIZE_BYTES)).equals(content)).toBe(true);
    await device.close();
    return longestMs;
  }

  it('is said what it means before it is done', async () => {
    const { client } = e2e;
    const engine = await client.request('node.restart-target', { node: 'n1', dryRun: true });
    const target = await targetOf('n1');
    expect(engine).toEqual({
      dryRun: true,
      would: [`the target of node n1 (${target}) is ended and started again`, 'volume db stalls'],
    });
    const leg = await client.request('node.restart-target', { node: 'n2', dryRun: true });
    expect(leg).toMatchObject({ would: [expect.anything(), expect.stringContaining('goes on')] });
  });

  it('is of the new version, and the writer of its engine has waited, no more', async () => {
    use('v2');
    const pid = pidOf('n1/target');
    const ask = () =>
      e2e.client.request('node.restart-target', { node: 'n1' }, { requestId, timeoutMs: 90_000 });
    const requestId = newUuid();
    let answer: unknown;
    const longestMs = await underLoad(async () => {
      answer = await ask();
    });
    process.stdout.write(`longest write: ${Math.round(longestMs)} ms\n`);
    expect(answer).toEqual({
      node: 'n1',
      from: expect.stringContaining('v1'),
      to: expect.stringContaining('v2'),
    });
    await until('the node to tell of it', 30_000, async () =>
      (await targetOf('n1')).includes('v2') ? true : undefined,
    );
    const next = pidOf('n1/target');
    expect(next).not.toBe(pid);
    // The same request again gets the same answer, and nothing happens.
    expect(await ask()).toEqual(answer);
    expect(pidOf('n1/target')).toBe(next);
  }, 120_000);

  it('keeps an engine elsewhere going, whose leg it has', async () => {
    const longestMs = await underLoad(() =>
      e2e.client.request('node.restart-target', { node: 'n2' }, { timeoutMs: 90_000 }),
    );
    process.stdout.write(`longest write: ${Math.round(longestMs)} ms\n`);
    expect(await targetOf('n2')).toContain('v2');
  }, 120_000);

  it('is left running when its new binary does not run', async () => {
    const { client } = e2e;
    writeFileSync(join(folder, 'v3', PROGRAM), 'process.exit(3);');
    use('v3');
    const pid = pidOf('n1/target');
    await underLoad(() =>
      expect(client.request('node.restart-target', { node: 'n1' })).rejects.toMatchObject({
        code: 'TARGET_BINARY_BROKEN',
        message: expect.stringContaining('left running'),
      }),
    );
    expect(pidOf('n1/target')).toBe(pid);
    use('v2');
  }, 120_000);

  it('is refused where a volume that is attached elsewhere has its only replica, unless it is forced', async () => {
    const { client } = e2e;
    for (const node of ['n1', 'n3']) await client.request('node.cordon', { node });
    await client.request('volume.create', { name: 'one', sizeBytes: SIZE_BYTES, replicas: 1 });
    for (const node of ['n1', 'n3']) await client.request('node.uncordon', { node });
    await client.request('volume.attach', { volume: 'one', node: 'n1', frontend: 'nbd' });
    const restart = (more: object = {}) =>
      client.request('node.restart-target', { node: 'n2', ...more }, { timeoutMs: 90_000 });
    await expect(restart()).rejects.toMatchObject({
      code: 'TARGET_NEEDED',
      message: expect.stringContaining('one'),
    });
    expect(await restart({ force: true })).toMatchObject({ node: 'n2' });
    await client.request('volume.detach', { volume: 'one' });
    expect(await restart()).toMatchObject({ node: 'n2' });
  }, 120_000);
});
