import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { findTargetSocket, pluginHostFile } from '@lariat/cli';
import type { OperationView, VolumeView } from '@lariat/contracts';
import { type LariatError, MIB, toLariatError } from '@lariat/kernel';
import { SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
const NODES = ['n1', 'n2', 'n3'] as const;

describe('requests at the same moment', () => {
  let e2e: E2eCluster;
  const stops: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    e2e = await startE2e();
    stops.push(await startSecondService(e2e));
  });
  afterAll(async () => {
    for (const stop of stops) await stop();
    await e2e.stop();
  });

  const attach = (node: string, force: boolean): Promise<VolumeView | LariatError> =>
    e2e.client
      .request('volume.attach', { volume: 'v', node, frontend: 'nbd', force })
      .catch(toLariatError);

  /** Nodes whose target runs an engine. */
  async function engines(): Promise<readonly string[]> {
    const found = await Promise.all(
      NODES.map(async (node) => {
        const socketPath = await findTargetSocket(e2e.cluster.paths.node(node));
        const spdk = await SpdkClient.connect({ socketPath: socketPath ?? '' });
        const raids = (await spdk.call('bdev_raid_get_bdevs', {
          category: 'all',
        })) as readonly unknown[];
        spdk.close();
        return raids.length > 0 ? [node] : [];
      }),
    );
    return found.flat();
  }

  const view = (): Promise<VolumeView> => e2e.client.request('volume.get', { volume: 'v' });

  it('for two nodes to have one volume: one gets it, the other is told who has it', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: SIZE_BYTES, replicas: 3 });
    for (let round = 1; round <= 5; round += 1) {
      const answers = await Promise.all([attach('n1', false), attach('n2', false)]);
      const won = answers.filter((answer) => !(answer instanceof Error));
      const refused = answers.filter((answer) => answer instanceof Error);
      expect(won).toMatchObject([{ state: 'attached', attachment: { epoch: round } }]);
      expect(refused).toHaveLength(1);
      expect(['OPERATION_IN_PROGRESS', 'VOLUME_ATTACHED_ELSEWHERE']).toContain(refused[0]?.code);
      const { attachment } = await view();
      expect(await engines()).toEqual([attachment?.node]);
      await client.request('volume.detach', { volume: 'v' });
      expect(await engines()).toEqual([]);
    }
  });

  it('for two nodes to take one volume by force: it ends on one of them, with one engine', async () => {
    const { client } = e2e;
    await client.request('volume.attach', { volume: 'v', node: 'n3', frontend: 'nbd' });
    const answers = await Promise.all([attach('n1', true), attach('n2', true)]);
    expect(answers.filter((answer) => !(answer instanceof Error)).length).toBeGreaterThan(0);
    const { attachment, robustness } = await view();
    expect(['n1', 'n2']).toContain(attachment?.node);
    expect(robustness).toBe('healthy');
    expect(await engines()).toEqual([attachment?.node]);
    const device = await e2e.open('v');
    await device.write(0, Buffer.alloc(4096, 1));
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    await client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers()).toEqual([]);
  });

  it('for one volume, a hundred times: one volume, one operation, one answer', async () => {
    const { client } = e2e;
    const body = { name: 'same', sizeBytes: SIZE_BYTES, replicas: 3 };
    const accepted = (await Promise.all(
      Array.from({ length: 100 }, () =>
        client.requestRaw('volume.create', { ...body, wait: false }),
      ),
    )) as readonly { readonly operation: OperationView }[];
    expect(new Set(accepted.map(({ operation }) => operation.id)).size).toBe(1);
    const operation = accepted[0]?.operation.id ?? '';
    await client.request('operation.wait', { operation });
    const { operations } = await client.request('operation.list', {});
    const creates = operations.filter(({ subject }) => subject === 'volume-name/same');
    expect(creates).toMatchObject([{ id: operation, state: 'succeeded' }]);
    await expectOneVolume('same', SIZE_BYTES);
  });

  it('for one volume under one key, a hundred times: one volume, one answer', async () => {
    const { client } = e2e;
    const body = { name: 'keyed', sizeBytes: SIZE_BYTES, replicas: 3 };
    const views = await Promise.all(
      Array.from({ length: 100 }, () =>
        client.request('volume.create', body, { requestId: 'keyed-1' }),
      ),
    );
    expect(new Set(views.map((found) => JSON.stringify(found))).size).toBe(1);
    await expectOneVolume('keyed', SIZE_BYTES);
  });

  it('for two volumes of one name and different sizes: one is made, the other leaves nothing', async () => {
    const { client } = e2e;
    const sizes = Array.from({ length: 8 }, (_, index) => (index + 1) * SIZE_BYTES);
    const answers = await Promise.all(
      sizes.map((sizeBytes) =>
        client
          .request('volume.create', { name: 'clash', sizeBytes, replicas: 3 })
          .catch(toLariatError),
      ),
    );
    const made = answers.flatMap((answer) => (answer instanceof Error ? [] : [answer]));
    const codes = answers.flatMap((answer) => (answer instanceof Error ? [answer.code] : []));
    expect(made).toHaveLength(1);
    expect(codes).toHaveLength(sizes.length - 1);
    for (const code of codes)
      expect(['OPERATION_IN_PROGRESS', 'VOLUME_NAME_TAKEN']).toContain(code);
    const again = await client
      .request('volume.create', { name: 'clash', sizeBytes: 9 * SIZE_BYTES, replicas: 3 })
      .catch(toLariatError);
    expect(again).toMatchObject({ code: 'VOLUME_NAME_TAKEN' });
    await expectOneVolume('clash', made[0]?.sizeBytes ?? 0);
  });

  /** One record, three lvols and the space of three replicas; then it is deleted, and nothing is left. */
  async function expectOneVolume(name: string, sizeBytes: number): Promise<void> {
    const { client } = e2e;
    const { volumes } = await client.request('volume.list', {});
    expect(volumes).toMatchObject([{ name, sizeBytes, state: 'detached', operation: null }]);
    const { disks } = await client.request('disk.list', {});
    expect(disks.map((disk) => disk.scheduledBytes)).toEqual(NODES.map(() => sizeBytes));
    await client.request('volume.delete', { volume: name });
    expect(await e2e.leftovers()).toEqual([]);
  }
});

/** A second copy of volume-svc beside the cluster's own: NATS gives each request to either of them. */
async function startSecondService(e2e: E2eCluster): Promise<() => Promise<unknown>> {
  const args = [pluginHostFile(), '--nats', e2e.cluster.natsUrl, '--plugin', '@lariat/volume-svc'];
  const child = spawn(process.execPath, args, { stdio: 'ignore' });
  const ended = once(child, 'exit');
  await until('a second volume-svc', 20_000, async () => {
    const instances = new Set<string>();
    for await (const reply of await e2e.connection.requestMany('$SRV.INFO.volume-svc', '', {
      maxWait: 300,
    }))
      instances.add(reply.json<{ id: string }>().id);
    return instances.size >= 2 ? true : undefined;
  });
  return async () => {
    child.kill('SIGTERM');
    await ended;
  };
}
