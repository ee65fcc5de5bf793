import { MIB, newUuid } from '@lariat/kernel';
import type { VolumeView } from '@lariat/contracts';
import { RegisterHistory } from '@lariat/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fuzz/support/random.js';
import { ChaosCluster, eventually } from './chaos-cluster.js';
import { NodeEvents } from './node-events.js';
import { BLOCK_BYTES } from './register-blocks.js';
import { RegisterClient, type RegisterWorld, readAll, violationsOf } from './register-client.js';

const SIZE_BYTES = 8 * MIB;
const OFFSETS = [0, BLOCK_BYTES, MIB, SIZE_BYTES - BLOCK_BYTES];
const NODES = ['n1', 'n2', 'n3', 'n4'];
const CLIENTS = 2;
/** With LARIAT_SOAK (`lariat test --soak`) so many times as long. */
const EVENTS_MS = 150_000 * Number(process.env.LARIAT_SOAK ?? '1');
/** A node that is declared down, its replica's grace, and a rebuild. */
const HEALED_MS = 120_000;
const CHURN_MS = 90_000;

const SEED = process.env.LARIAT_SEED ?? newUuid().slice(0, 8);

interface User {
  readonly volume: string;
  readonly world: RegisterWorld;
  readonly writes: () => number;
  stop(): Promise<void>;
}

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

  const view = (volume: string): Promise<VolumeView> =>
    chaos.retrying('the volume to be shown', () => chaos.client.request('volume.get', { volume }));

  /** Hosts of a volume on one node: what dies under them they use again when it is back. */
  async function use(node: string): Promise<User> {
    const volume = `on-${node}`;
    await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
    await chaos.perform('volume.attach', { volume, node, frontend: 'nbd' });
    let writes = 0;
    const world: RegisterWorld = {
      history: new RegisterHistory(),
      offsets: OFFSETS,
      find: async () => {
        const { state, attachment } = await view(volume);
        if (state !== 'attached' || attachment?.endpoint == null) return undefined;
        return { epoch: attachment.epoch, endpoint: attachment.endpoint };
      },
      takenEpoch: () => 0,
      written: () => {
        writes += 1;
      },
    };
    const clients = Array.from(
      { length: CLIENTS },
      (_, index) =>
        new RegisterClient(`${node}.${index}`, world, new Random(`${SEED}/${node}/${index}`)),
    );
    const running = clients.map((client) => client.run());
    return {
      ...{ volume, world, writes: () => writes },
      stop: async () => {
        for (const client of clients) client.stop();
        await Promise.all(running);
      },
    };
  }

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
      const users = await Promise.all(NODES.slice(0, 3).map(use));
      let isOver = false;
      const churning = churn(() => isOver);
      const events = new NodeEvents(chaos, new Random(`${SEED}/events`), said);
      const deadline = performance.now() + EVENTS_MS;
      while (performance.now() < deadline) await events.strike();
      isOver = true;
      await events.heal();
      said(`${await churning} volumes came and went`);

      for (const { volume, writes } of users) {
        const before = writes();
        await eventually(`${volume} to be whole and in use`, HEALED_MS, async () => {
          const { robustness, operation, replicas } = await view(volume);
          const isWhole = robustness === 'healthy' && operation === null && replicas.length === 3;
          return isWhole && writes() > before ? { value: true } : undefined;
        });
      }
      await Promise.all(users.map((user) => user.stop()));
      for (const { volume, world, writes } of users) {
        await readAll(world, 'after');
        said(`${volume}: ${writes()} writes acknowledged`);
        expect(violationsOf(world.history)).toEqual([]);
        await chaos.perform('volume.detach', { volume });
        const sums = await chaos.retrying('the replicas to be compared', () =>
          chaos.client.request('replica.checksum', { volume }, { timeoutMs: 30_000 }),
        );
        expect(sums).toMatchObject({ identical: true, replicas: [{}, {}, {}] });
      }
      const { volumes } = await chaos.client.request('volume.list', {});
      for (const { name } of volumes) await chaos.perform('volume.delete', { volume: name });
      const operations = await eventually('every operation to end', HEALED_MS, async () => {
        const listed = await chaos.client.request('operation.list', {});
        const isOpen = listed.operations.some(({ endedAt }) => endedAt === null);
        return isOpen ? undefined : { value: listed.operations };
      });
      expect(operations.filter(({ state }) => state === 'stuck')).toEqual([]);
      expect((await chaos.client.request('dead-letter.list', {})).deadLetters).toEqual([]);
      expect(await chaos.leftovers()).toEqual([]);
    },
    EVENTS_MS + 5 * HEALED_MS,
  );
});
