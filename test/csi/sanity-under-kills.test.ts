import { delay, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whyNoSanity } from './csi-sanity.js';
import type { E2eCluster } from '../e2e/e2e-cluster.js';
import { SanityWorld } from './sanity-world.js';

const missing = await whyNoSanity();
const isSoak = process.env['LARIAT_SOAK'] !== undefined;
const PAUSE_MS = 4_000;
/** With csi-sanity itself, whose calls wait for what is on its way back. */
const TIMEOUT_MS = isSoak ? 3 * 3_600_000 : 600_000;
/** Of three nodes two are always there: enough for both replicas. All services are one process but in a soak. */
const VICTIMS = isSoak ? ['n1', 'volume-svc', 'n2', 'replica-svc'] : ['n1', 'services', 'n2'];

/** One dies after the other, each a while after the last one serves again. */
function killInTurn({ cluster, client }: E2eCluster): {
  end(): void;
  stop(): Promise<readonly string[]>;
} {
  const killed: string[] = [];
  let isOver = false;
  const allServe = async (): Promise<boolean> => {
    try {
      const { nodes } = await client.request('node.list', {}, { timeoutMs: PAUSE_MS });
      const areUp = cluster.processes().every(({ state }) => state === 'ready');
      return areUp && nodes.every(({ state }) => state === 'ready');
    } catch {
      return false;
    }
  };
  const loop = async (): Promise<void> => {
    for (let turn = 0; !isOver; turn += 1) {
      const victim = VICTIMS[turn % VICTIMS.length] ?? '';
      try {
        await cluster.kill(victim);
        killed.push(victim);
      } catch (error) {
        if (toLariatError(error).code !== 'PROCESS_NOT_FOUND') throw error;
      }
      do await delay(PAUSE_MS);
      while (!isOver && !(await allServe()));
    }
  };
  const running = loop();
  const end = (): void => {
    isOver = true;
  };
  return {
    end,
    stop: async () => {
      end();
      await running;
      return killed;
    },
  };
}

describe.skipIf(missing !== undefined)(
  `csi-sanity, while an agent or a service dies every few seconds (${missing ?? 'built with Go'})`,
  () => {
    let world: SanityWorld;
    beforeAll(async () => {
      world = await SanityWorld.start({ nodes: 3, split: isSoak });
    });
    afterAll(() => world?.stop());

    it.each(isSoak ? (['mount', 'block'] as const) : (['mount'] as const))(
      'sees no failure, with %s volumes',
      async (access) => {
        const killing = killInTurn(world.e2e);
        const [result, killed] = await world
          .run(access)
          .then(async (ended) => [ended, await killing.stop()] as const)
          .finally(() => killing.end());
        process.stderr.write(`killed meanwhile: ${killed.join(', ')}\n`);
        expect(killed).toEqual(expect.arrayContaining(VICTIMS.slice(0, 2)));
        expect(world.wrongWith(result)).toEqual([]);
        expect(await world.leftovers()).toEqual([]);
      },
      TIMEOUT_MS,
    );
  },
);
