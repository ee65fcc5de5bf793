import { findTargetSocket } from '@lariat/cli';
import { SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChaosCluster, eventually } from './chaos-cluster.js';
import { drawn } from './drawn.js';
import { isAlive, untilDead } from './kill-at-every-position.js';
import { liveThroughTargetLoss } from './volume-life.js';

/** What a volume's life asks of the target of its engine's node, each able to leave something half made. */
const METHODS = [
  'bdev_lvol_create',
  'bdev_lvol_snapshot',
  'bdev_lvol_clone',
  'bdev_lvol_resize',
  'bdev_lvol_delete',
  'bdev_nvme_attach_controller',
  'bdev_nvme_detach_controller',
  'bdev_raid_create',
  'bdev_raid_delete',
  'nvmf_create_subsystem',
  'nvmf_subsystem_add_ns',
  'nvmf_subsystem_add_listener',
  'nvmf_delete_subsystem',
  'lariat_bdev_quiesce',
  'lariat_bdev_unquiesce',
] as const;

describe('the target of the engine node killed before and after each call', () => {
  let chaos: ChaosCluster;
  beforeAll(async () => {
    chaos = await ChaosCluster.start(3);
  });
  afterAll(async () => {
    await chaos.stop();
  });

  /** Arms the target that runs now; answers its pid. */
  async function armTarget(point: string): Promise<number> {
    return eventually('the target of n1 to take a fault', 20_000, async () => {
      const socketPath = await findTargetSocket(chaos.cluster.paths.node('n1'));
      const pid = chaos.cluster.processes().find(({ name }) => name === 'n1/target')?.pid;
      if (socketPath === undefined || pid === undefined || pid === null || !isAlive(pid))
        return undefined;
      const client = await SpdkClient.connect({ socketPath });
      await client.call('lariat_fault_arm', { point, action: 'kill' });
      client.close();
      return { value: pid };
    });
  }

  const points = METHODS.flatMap((method) => [`rpc/${method}/before`, `rpc/${method}/after`]);

  it.each(drawn('calls at which the target dies', points, 10))(
    'loses nothing and leaves nothing when it dies at %s',
    async (point) => {
      await chaos.whole();
      const pid = await armTarget(point);
      await liveThroughTargetLoss(chaos, `v-${point.replaceAll(/[^a-z]+/g, '-')}`);
      await untilDead(pid);
      expect(isAlive(pid), `the life reaches ${point}`).toBe(false);
      expect(await chaos.leftovers()).toEqual([]);
    },
    120_000,
  );
});
