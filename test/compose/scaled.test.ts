import { MIB, newUuid } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStack, whyNoEngine } from './shared-stack.js';
import type { Stack } from './stack.js';

const missing = whyNoEngine();
const COPIES = 3;
const NAMES = Array.from({ length: 12 }, (_, index) => `burst-${index}`);

describe.skipIf(missing !== undefined)(
  `three copies of a service (${missing ?? 'an engine is here'})`,
  () => {
    let stack: Stack;
    beforeAll(async () => {
      stack = await openStack();
      await stack.ready();
    });
    afterAll(async () => {
      await stack.compose('up', '--detach', '--no-recreate', '--scale', 'volume-svc=1');
      await stack.close();
    });

    /** Instances that answer a ping of NATS's service protocol. */
    async function instances(): Promise<number> {
      const found = new Set<string>();
      for await (const message of await stack.connection.requestMany('$SRV.PING.volume-svc', '', {
        maxWait: 1_000,
      }))
        found.add(message.json<{ id: string }>().id);
      return found.size;
    }
    const areThere = (count: number) =>
      stack.eventually(`${count} instances`, async () =>
        (await instances()) === count ? true : undefined,
      );

    it('all answer, and one that dies in a burst of requests costs none of them', async () => {
      await areThere(1);
      await stack.compose('up', '--detach', '--no-recreate', '--scale', `volume-svc=${COPIES}`);
      await areThere(COPIES);
      const created = NAMES.map(async (name) => {
        const requestId = newUuid();
        const body = { name, sizeBytes: 4 * MIB, replicas: 2 };
        // As any caller does: asked again under the same key until there is an answer.
        const operation = await stack.eventually(`${name} to be begun`, () =>
          stack.begin('volume.create', body, requestId),
        );
        await stack.succeeds(operation);
      });
      await stack.crash(stack.container('volume-svc', 2));
      await Promise.all(created);
      const { volumes } = await stack.request('volume.list', {});
      expect(volumes.map(({ name }) => name).toSorted()).toEqual(NAMES.toSorted());
      for (const volume of volumes)
        expect(volume).toMatchObject({ state: 'detached', robustness: 'healthy' });
      await areThere(COPIES);
    });

    it('go down to one, which carries on with what they left', async () => {
      await stack.compose('up', '--detach', '--no-recreate', '--scale', 'volume-svc=1');
      await areThere(1);
      const deletions = await Promise.all(
        NAMES.map((volume) => stack.begin('volume.delete', { volume })),
      );
      for (const operation of deletions) await stack.succeeds(operation);
      expect(await stack.leftovers()).toEqual([]);
    });
  },
);
