import { MIB, delay, newUuid } from '@lariat/kernel';
import { RegisterHistory } from '@lariat/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../fuzz/support/random.js';
import { ChaosCluster } from './chaos-cluster.js';
import { Nemesis } from './nemesis.js';
import { BLOCK_BYTES } from './register-blocks.js';
import { RegisterClient, type RegisterWorld, readAll, violationsOf } from './register-client.js';

const SIZE_BYTES = 16 * MIB;
/** Neighbours in one cluster, on both sides of a cluster's edge, and far apart. */
const OFFSETS = [0, BLOCK_BYTES, MIB - BLOCK_BYTES, MIB, 5 * MIB, SIZE_BYTES - BLOCK_BYTES];
const CLIENTS = 4;
const FAULTS_MS = 40_000;
/** After a fault a write is acknowledged within this; a node is declared down after 8 s, a held write fails after 20 s. */
const RESUME_MS = 45_000;

/** LARIAT_SOAK (`lariat test --soak`): how many rounds, each on a new seed. LARIAT_SEED: begins with this seed. */
const ROUNDS = Number(process.env.LARIAT_SOAK ?? '1');
const SEEDS = Array.from({ length: ROUNDS }, (_, round) =>
  round === 0 && process.env.LARIAT_SEED !== undefined
    ? process.env.LARIAT_SEED
    : newUuid().slice(0, 8),
);

describe('blocks that are written and read by several hosts while parts of the cluster die', () => {
  let chaos: ChaosCluster;
  beforeAll(async () => {
    chaos = await ChaosCluster.start(3);
  });
  afterAll(async () => {
    await chaos.stop();
  });

  it.each(SEEDS)(
    'are each like one block that is written and read at one moment (seed %s)',
    async (seed) => {
      const said = (line: string): void => void process.stderr.write(`${seed}: ${line}\n`);
      said(`LARIAT_SEED=${seed} repeats the choice of faults`);
      await chaos.whole();
      const volume = `v-${seed}`;
      await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
      await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
      const nemesis = new Nemesis(chaos, volume, new Random(`${seed}/faults`), said);
      let writes = 0;
      const world: RegisterWorld = {
        history: new RegisterHistory(),
        offsets: OFFSETS,
        find: () => nemesis.find(),
        takenEpoch: () => nemesis.takenEpoch,
        written: () => {
          writes += 1;
        },
      };
      const clients = Array.from(
        { length: CLIENTS },
        (_, index) => new RegisterClient(`c${index}`, world, new Random(`${seed}/c${index}`)),
      );
      const running = clients.map((client) => client.run());
      const writesResume = async (): Promise<void> => {
        const before = writes;
        const deadline = performance.now() + RESUME_MS;
        while (writes === before) {
          if (performance.now() > deadline)
            throw new Error(`no write was acknowledged for ${RESUME_MS} ms`);
          await delay(20);
        }
      };
      const deadline = performance.now() + FAULTS_MS;
      let sums: unknown;
      try {
        await writesResume();
        while (performance.now() < deadline) await nemesis.strike(writesResume);
        await nemesis.heal();
        await writesResume();
        for (const client of clients) client.stop();
        await Promise.all(running);
        await readAll(world, 'after');
        await chaos.perform('volume.detach', { volume });
        sums = await chaos.retrying('the replicas to be compared', () =>
          chaos.client.request('replica.checksum', { volume }, { timeoutMs: 30_000 }),
        );
        await chaos.perform('volume.delete', { volume });
      } finally {
        for (const client of clients) client.stop();
        said(`${writes} writes acknowledged`);
      }
      expect(violationsOf(world.history)).toEqual([]);
      expect(sums).toMatchObject({ identical: true, replicas: [{}, {}, {}] });
      expect(await chaos.leftovers()).toEqual([]);
    },
    300_000,
  );
});
