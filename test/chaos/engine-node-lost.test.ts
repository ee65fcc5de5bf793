import { newUuid } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fuzz/support/random.js';
import { ChaosCluster, eventually } from './chaos-cluster.js';
import { drawn } from './drawn.js';
import { isFrozen } from './kill-at-every-position.js';
import { HEALED_MS, VolumeUser } from './volume-user.js';

/** Each takes a minute: two nodes come back, and two replicas are brought up to date. */
const DRAWS = 2;
const SEED = process.env.LARIAT_SEED ?? newUuid().slice(0, 8);
const ENGINE_NODE = 'n3';

describe('the node of an engine that loses its power while a replica joins', () => {
  const said = (line: string): void => void process.stderr.write(`${SEED}: ${line}\n`);
  const random = new Random(SEED);
  let chaos: ChaosCluster;
  let user: VolumeUser;
  beforeAll(async () => {
    chaos = await ChaosCluster.start(3, { rebuild: 'auto' });
    await chaos.whole();
    user = await VolumeUser.begin(chaos, 'v', ENGINE_NODE, SEED);
  });
  afterAll(async () => {
    await chaos.stop();
  });

  /** A node of a leg loses its power and is back; `meanwhile` begins when the loss is on record. */
  async function loseLeg(meanwhile: () => Promise<void>): Promise<string> {
    const lost = random.pick(['n1', 'n2']);
    await chaos.cluster.killNode(lost);
    await eventually(`the loss of ${lost} to be on record`, HEALED_MS, async () =>
      (await user.view()).robustness === 'degraded' ? { value: true } : undefined,
    );
    await meanwhile();
    await chaos.cluster.startNode(lost);
    return lost;
  }

  it(
    'comes back with an engine whose legs all have what it acknowledges from then on',
    async ({ task }) => {
      await loseLeg(() => Promise.resolve());
      await user.wholeAndInUse();
      const agent = `node-agent-${ENGINE_NODE}`;
      const points = (await chaos.reached(agent)).filter((point) =>
        /^agent\/engine\.(add-leg|open-gate)\//.test(point),
      );
      expect(points.length).toBeGreaterThanOrEqual(6);
      for (const point of drawn(task.name, points, DRAWS)) {
        let agentPid = 0;
        const lost = await loseLeg(async () => {
          agentPid = await chaos.arm(agent, { point, action: 'freeze' });
        });
        await eventually(`the join to reach ${point}`, HEALED_MS, () =>
          Promise.resolve(isFrozen(agentPid) ? { value: true } : undefined),
        );
        await chaos.cluster.killNode(ENGINE_NODE);
        said(`${lost} joins, and ${ENGINE_NODE} loses its power at ${point}`);
        await chaos.cluster.startNode(ENGINE_NODE);
        await user.wholeAndInUse();
      }
      await user.stop();
      said(`${user.writes} writes acknowledged`);
      expect(await user.violations()).toEqual([]);
      expect(await user.replicasAtRest()).toMatchObject({
        ...{ identical: true, replicas: [{}, {}, {}] },
      });
      await chaos.perform('volume.delete', { volume: 'v' });
      expect(await chaos.leftovers()).toEqual([]);
    },
    4 * DRAWS * HEALED_MS,
  );
});
