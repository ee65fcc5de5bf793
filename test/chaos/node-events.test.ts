import { readList } from '@lariat/cli';
import { MIB, newUuid } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fuzz/support/random.js';
import { ChaosCluster, eventually } from './chaos-cluster.js';
import { NodeEvents } from './node-events.js';
import { HEALED_MS, VolumeUser } from './volume-user.js';

const SIZE_BYTES = 8 * MIB;
const NODES = ['n1', 'n2', 'n3', 'n4'];
/** With LARIAT_SOAK (`lariat test --soak`) so many times as long. */
const EVENTS_MS = 180_000 * Number(process.env.LARIAT_SOAK ?? '1');
const CHURN_MS = 90_000;

const SEED = process.env.LARIAT_SEED ?? newUuid().slice(0, 8);

describe('nodes that die, hang, stop and come back at random', () => {
  const said = (line: string): void => void process.stderr.write(`${SEED}: ${line}\n`);
  let chaos: ChaosCluster;
  beforeAll(async () => {
    said(`LARIAT_SEED=${SEED} repeats the choice of events`);
    chaos = await ChaosCluster.start(NODES.length, { rebuild: 'auto' });
  });
  afterAll(async () => {
    await chaos.stop();
  });

  /** Volumes are made, frozen, grown and deleted all the time; what is refused or undone meanwhile is not this test's. */
  async function churn(isOver: () => boolean): Promise<number> {
    let rounds = 0;
    for (; !isOver(); rounds += 1) {
      const volume = `churn-${rounds}`;
      const body = { volume };
      await chaos.settle(
        'volume.create',
        { name: volume, sizeBytes: SIZE_BYTES, replicas: 2 },
        CHURN_MS,
        said,
      );
      await chaos.settle('snapshot.create', { ...body, snapshot: 's' }, CHURN_MS, said);
      await chaos.settle('volume.expand', { ...body, sizeBytes: 2 * SIZE_BYTES }, CHURN_MS, said);
      await chaos.settle('snapshot.delete', { ...body, snapshot: 's' }, CHURN_MS, said);
      await chaos.settle('volume.delete', body, CHURN_MS, said);
    }
    return rounds;
  }

  it(
    'lose no acknowledged write, leave nothing behind and nothing stuck',
    async () => {
      await chaos.whole();
      const users = await Promise.all(
        NODES.slice(0, 3).map((node) => VolumeUser.begin(chaos, `on-${node}`, node, SEED)),
      );
      let isOver = false;
      const churning = churn(() => isOver);
      const events = new NodeEvents(chaos, new Random(`${SEED}/events`), said);
      const deadline = performance.now() + EVENTS_MS;
      while (performance.now() < deadline) await events.strike();
      isOver = true;
      await events.heal();
      said(`${await churning} volumes came and went`);

      for (const user of users) await user.wholeAndInUse();
      await Promise.all(users.map((user) => user.stop()));
      for (const user of users) {
        expect(await user.violations()).toEqual([]);
        said(`${user.volume}: ${user.writes} writes acknowledged`);
        expect(await user.replicasAtRest()).toMatchObject({
          ...{ identical: true, replicas: [{}, {}, {}] },
        });
      }
      const { volumes } = await chaos.client.request('volume.list', {});
      for (const { name } of volumes) await chaos.perform('volume.delete', { volume: name });
      const operations = await eventually('every operation to end', HEALED_MS, async () => {
        // Page by page: what came and went makes more operations than one message has room for.
        const { items } = await readList(chaos.client, 'operation.list', {});
        return items.some(({ endedAt }) => endedAt === null) ? undefined : { value: items };
      });
      expect(operations.filter(({ state }) => state === 'stuck')).toEqual([]);
      expect((await chaos.client.request('dead-letter.list', {})).deadLetters).toEqual([]);
      expect(await chaos.leftovers()).toEqual([]);
    },
    EVENTS_MS + 5 * HEALED_MS,
  );
});
