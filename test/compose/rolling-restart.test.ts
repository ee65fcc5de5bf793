import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { steadyLoad, type SteadyLoad } from '../chaos/steady-load.js';
import type { NetworkHost } from './network-host.js';
import { openStack, whyNoEngine } from './shared-stack.js';
import { HEALED_MS, type Stack } from './stack.js';

const missing = whyNoEngine();
const SIZE_BYTES = 8 * MIB;
const MORE = 20;
const SERVED_BY = ['nats', 'volume-svc', 'replica-svc', 'backing-image-svc'];
/** The node that the volume is attached on comes last: the others are whole again by then. */
const ROUND_OF_NODES = ['node-3', 'node-2', 'node-1'];

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

    const other = { name: 'other', sizeBytes: SIZE_BYTES, replicas: 3 };

    /** Before the next part is restarted, the volume is whole and in use again. */
    async function whole(before: number): Promise<void> {
      await stack.ready();
      await stack.whole('rolled');
      await stack.eventually('the load to go on', () => {
        const { blocks, failures } = load.soFar();
        return Promise.resolve(blocks > before + MORE || failures.length > 0 ? true : undefined);
      });
    }

    it.each(SERVED_BY)(
      'fails no write when %s is restarted, and what was asked for before that goes on',
      async (service) => {
        const { blocks } = load.soFar();
        const creation = await stack.begin('volume.create', other);
        await stack.compose('restart', service);
        await stack.succeeds(creation);
        await stack.request('volume.delete', { volume: 'other' });
        await whole(blocks);
        expect(load.soFar().failures).toEqual([]);
      },
      2 * HEALED_MS,
    );

    it.each(ROUND_OF_NODES)(
      'fails no write when %s is restarted, and what waits for it says so',
      async (node) => {
        const { blocks } = load.soFar();
        await stack.request('volume.create', other);
        await stack.compose('stop', node);
        const deletion = await stack.begin('volume.delete', { volume: 'other' });
        const told = await stack.waitsFor(deletion, node);
        expect(told).toMatchObject({ kind: 'volume.delete', step: expect.any(String) });
        await stack.compose('start', node);
        await stack.succeeds(deletion);
        await whole(blocks);
        expect(load.soFar().failures).toEqual([]);
      },
      2 * HEALED_MS,
    );

    it('leaves replicas that are the same, and nothing when the volume is deleted', async () => {
      const { blocks, failures } = await load.end();
      expect(failures).toEqual([]);
      expect(blocks).toBeGreaterThan((SERVED_BY.length + ROUND_OF_NODES.length) * MORE);
      await host.close();
      await stack.request('volume.detach', { volume: 'rolled' });
      const sums = await stack.request('replica.checksum', { volume: 'rolled' });
      expect(sums).toMatchObject({ identical: true });
      await stack.request('volume.delete', { volume: 'rolled' });
      expect(await stack.leftovers()).toEqual([]);
    });
  },
);
