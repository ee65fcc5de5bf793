import { delay, newUuid } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fuzz/support/random.js';
import { ChaosCluster, eventually } from './chaos-cluster.js';
import { HEALED_MS, VolumeUser } from './volume-user.js';

const ROUNDS = 6 * Number(process.env.LARIAT_SOAK ?? '1');
/** A join takes about as long: its gate is closed, heads are frozen, the leg joins, the gate opens. */
const JOIN_MS = 500;
const AWAY_MS = 1_500;
const SEED = process.env.LARIAT_SEED ?? newUuid().slice(0, 8);

describe('the node of an engine that loses its power while a replica joins', () => {
  const said = (line: string): void => void process.stderr.write(`${SEED}: ${line}\n`);
  const random = new Random(SEED);
  let chaos: ChaosCluster;
  beforeAll(async () => {
    chaos = await ChaosCluster.start(3, { rebuild: 'auto' });
  });
  afterAll(async () => {
    await chaos.stop();
  });

  it(
    'comes back with an engine whose legs all have what it acknowledges from then on',
    async () => {
      said(`LARIAT_SEED=${SEED} repeats the choice of moments`);
      await chaos.whole();
      const user = await VolumeUser.begin(chaos, 'v', 'n3', SEED);
      for (let round = 0; round < ROUNDS; round += 1) {
        const lost = random.pick(['n1', 'n2']);
        await chaos.cluster.killNode(lost);
        await eventually(`the loss of ${lost} to be on record`, HEALED_MS, async () =>
          (await user.view()).robustness === 'degraded' ? { value: true } : undefined,
        );
        await chaos.cluster.startNode(lost);
        await eventually('its replica to join', HEALED_MS, async () => {
          const { operations } = await chaos.client.request('operation.list', {});
          const isJoining = operations.some(
            ({ kind, step, endedAt }) =>
              kind === 'replica.rebuild' && step === 'join' && endedAt === null,
          );
          return isJoining ? { value: true } : undefined;
        });
        const afterMs = random.below(JOIN_MS);
        await delay(afterMs);
        await chaos.cluster.killNode('n3');
        said(`${lost} joins, and n3 loses its power after ${afterMs} ms`);
        await delay(random.below(AWAY_MS));
        await chaos.cluster.startNode('n3');
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
    ROUNDS * 2 * HEALED_MS,
  );
});
