import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { steadyLoad, type SteadyLoad } from '../chaos/steady-load.js';
import type { NetworkHost } from './network-host.js';
import { openStack, whyNoEngine } from './shared-stack.js';
import { HEALED_MS, type Stack } from './stack.js';

const missing = whyNoEngine();
const SIZE_BYTES = 8 * MIB;
const MORE = 20;
/** The node that the volume is attached on comes last: the others are whole again by then. */
const ROUND = [
  ...['nats', 'volume-svc', 'replica-svc', 'backing-image-svc'],
  ...['node-3', 'node-2', 'node-1'],
];

describe.skipIf(missing !== undefined)(
  `a rolling restart under write load (${missing ?? 'an engine is here'})`,
  () => {
    let stack: Stack;
    let host: NetworkHost;
    let load: SteadyLoad;
    beforeAll(async () => {
      stack = await openStack();
      await stack.ready();
      const volume = { name: 'rolled', sizeBytes: SIZE_BYTES, replicas: 3 };
      await stack.request('volume.create', volume);
      const attach = { volume: 'rolled', node: 'node-1', frontend: 'nvmf' } as const;
      await stack.request('volume.attach', attach);
      host = await stack.host('rolled');
      load = await steadyLoad(host.uri, SIZE_BYTES);
    });
    afterAll(async () => {
      await load?.end();
      await host?.close();
      await stack?.close();
    });

    it.each(ROUND)(
      'fails no write when %s is restarted, and the volume is whole before the next',
      async (service) => {
        const before = load.soFar().blocks;
        await stack.compose('restart', service);
        await stack.ready();
        await stack.whole('rolled');
        await stack.eventually('the load to go on', () => {
          const { blocks, failures } = load.soFar();
          return Promise.resolve(blocks > before + MORE || failures.length > 0 ? true : undefined);
        });
        expect(load.soFar().failures).toEqual([]);
      },
      2 * HEALED_MS,
    );

    it('leaves replicas that are the same, and nothing when the volume is deleted', async () => {
      const { blocks, failures } = await load.end();
      expect(failures).toEqual([]);
      expect(blocks).toBeGreaterThan(ROUND.length * MORE);
      await host.close();
      await stack.request('volume.detach', { volume: 'rolled' });
      const sums = await stack.request('replica.checksum', { volume: 'rolled' });
      expect(sums).toMatchObject({ identical: true });
      await stack.request('volume.delete', { volume: 'rolled' });
      expect(await stack.leftovers()).toEqual([]);
    });
  },
);
