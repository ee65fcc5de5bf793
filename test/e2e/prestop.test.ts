import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { findTargetSocket, programFile } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { contentOf } from './target-content.js';

const SIZE_BYTES = 8 * MIB;
const BOUND_MS = 60_000;
const MAIN = programFile('apps', 'node-agent', 'dist', 'main.js');
const run = promisify(execFile);

describe('a node that is stopped as a container is', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e();
    for (const [name, node] of [
      ['here', 'n1'],
      ['there', 'n2'],
    ] as const) {
      await e2e.client.request('volume.create', { name, sizeBytes: SIZE_BYTES, replicas: 3 });
      await e2e.client.request('volume.attach', { volume: name, node, frontend: 'nbd' });
    }
  }, 120_000);
  afterAll(async () => {
    await e2e.stop();
  });

  const prestop = (...more: readonly string[]) =>
    run(process.execPath, [MAIN, 'prestop', '--data', e2e.cluster.paths.node('n1'), ...more]);

  async function write(volume: string): Promise<Buffer> {
    const data = randomBytes(SIZE_BYTES);
    const device = await e2e.open(volume);
    await device.writeAll(0, data);
    await device.close();
    return data;
  }

  async function standsDown(): Promise<void> {
    const { stdout } = await prestop('--deadline-seconds', '30');
    expect(stdout).toContain('has taken away what others used');
    const socketPath = await findTargetSocket(e2e.cluster.paths.node('n1'));
    const client = await SpdkClient.connect({ socketPath: socketPath ?? '' });
    const { subsystems, raids, controllers } = await contentOf(new Spdk(client));
    client.close();
    expect({ raids, controllers, namespaces: subsystems.map((one) => one.namespace) }).toEqual({
      ...{ raids: [], controllers: [] },
      // Of the discovery service, which has none.
      namespaces: [undefined],
    });
    expect(e2e.cluster.processes().filter(({ name }) => /n1\/frontend/.test(name))).toEqual([]);
  }

  it.each([
    ['after its stop hook', standsDown],
    ['without one', () => Promise.resolve()],
  ])(
    'comes back with all that it had, %s',
    async (_how, before) => {
      const here = await write('here');
      const there = await write('there');
      await before();
      await e2e.cluster.killNode('n1');
      await e2e.cluster.startNode('n1');
      const device = await until('the volume to be served', BOUND_MS, () =>
        e2e.open('here').catch(() => undefined),
      );
      expect((await device.read(0, SIZE_BYTES)).equals(here)).toBe(true);
      await device.close();
      const other = await e2e.open('there');
      expect((await other.read(0, SIZE_BYTES)).equals(there)).toBe(true);
      await other.close();
      await until('the node to be ready', BOUND_MS, async () =>
        (await e2e.client.request('node.get', { node: 'n1' })).state === 'ready' ? true : undefined,
      );
    },
    180_000,
  );

  it('says what is wrong with how it is asked, and does nothing where no agent runs', async () => {
    await expect(prestop('--deadline-seconds', 'soon')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('is not a whole number from 1 to 300'),
    });
    const { stdout } = await run(process.execPath, [MAIN, 'prestop', '--data', '/nonexistent']);
    expect(stdout).toContain('no agent runs on /nonexistent');
  }, 60_000);
});
