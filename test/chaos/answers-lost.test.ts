import { findTargetSocket } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChaosCluster, eventually } from './chaos-cluster.js';
import { liveThrough } from './volume-life.js';

/** Calls of a volume's life whose second run, without a look first, would fail or make a thing twice. */
const METHODS = [
  'bdev_lvol_snapshot',
  'bdev_lvol_clone',
  'bdev_lvol_delete',
  'bdev_nvme_attach_controller',
  'bdev_raid_create',
  'nvmf_create_subsystem',
  'nvmf_subsystem_add_ns',
  'lariat_bdev_quiesce',
] as const;

describe('a call that the target carries out, and whose answer is lost', () => {
  let chaos: ChaosCluster;
  beforeAll(async () => {
    chaos = await ChaosCluster.start(3);
  });
  afterAll(async () => {
    await chaos.stop();
  });

  /** On the target of n1, over a connection of its own. */
  const onTarget = <T>(use: (client: SpdkClient) => Promise<T>): Promise<T> =>
    eventually('the target of n1 to answer', 20_000, async () => {
      const socketPath = await findTargetSocket(chaos.cluster.paths.node('n1'));
      if (socketPath === undefined) return undefined;
      const client = await SpdkClient.connect({ socketPath });
      try {
        return { value: await use(client) };
      } finally {
        client.close();
      }
    });

  const loseAnswer = (method: string): Promise<unknown> =>
    onTarget((client) =>
      client.call('lariat_fault_arm', { point: `rpc/${method}/after`, action: 'hangup' }),
    );

  const lvols = async (): Promise<readonly unknown[]> =>
    (await onTarget((client) => client.call('bdev_lvol_get_lvols'))) as readonly unknown[];

  it('has made one lvol, which is the replica, and no other', async () => {
    await chaos.whole();
    await loseAnswer('bdev_lvol_create');
    const ended = await chaos.perform('volume.create', {
      name: 'once',
      sizeBytes: 8 * MIB,
      replicas: 3,
    });
    expect(ended).toHaveLength(1);
    const { replicas } = await chaos.client.request('volume.get', { volume: 'once' });
    const here = replicas.filter(({ node }) => node === 'n1');
    expect(here).toHaveLength(1);
    expect(await lvols()).toMatchObject([{ name: here[0]?.id }]);
    await chaos.perform('volume.delete', { volume: 'once' });
    expect(await chaos.leftovers()).toEqual([]);
  });

  it.each(METHODS)(
    '%s, costs the volume nothing and leaves nothing',
    async (method) => {
      await chaos.whole();
      await loseAnswer(method);
      await liveThrough(chaos, `v-${method.replaceAll('_', '-')}`);
      expect(await chaos.leftovers()).toEqual([]);
    },
    120_000,
  );
});
