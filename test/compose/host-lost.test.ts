import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { steadyLoad } from '../chaos/steady-load.js';
import { openStack, whyNoEngine } from './shared-stack.js';
import { PROJECT, type Stack } from './stack.js';

const missing = whyNoEngine();
const SIZE_BYTES = 16 * MIB;
const LOST = 'node-3';

describe.skipIf(missing !== undefined)(
  `a host that is lost with its disk (${missing ?? 'an engine is here'})`,
  () => {
    let stack: Stack;
    beforeAll(async () => {
      stack = await openStack();
      await stack.ready();
    });
    afterAll(async () => {
      await stack.close();
    });

    const nodesOf = async (volume: string): Promise<readonly string[]> =>
      (await stack.volume(volume)).replicas.map(({ node }) => node).toSorted();

    it('costs no write: what waits for it says so, and its replica is made anew on another host', async () => {
      await stack.request('node.cordon', { node: 'node-2' });
      const volume = { name: 'kept', sizeBytes: SIZE_BYTES, replicas: 2 };
      await stack.request('volume.create', volume);
      await stack.request('node.uncordon', { node: 'node-2' });
      await stack.request('volume.create', { ...volume, name: 'other', replicas: 3 });
      await stack.request('volume.attach', { volume: 'kept', node: 'node-1', frontend: 'nbd' });
      expect(await nodesOf('kept')).toEqual(['node-1', LOST]);
      const load = await steadyLoad((await stack.socketOf('kept')).uri, SIZE_BYTES);
      // Nobody is asked to stop, and the disk goes too.
      await stack.docker('rm', '--force', stack.container(LOST));
      const deletion = await stack.begin('volume.delete', { volume: 'other' });
      const told = await stack.waitsFor(deletion, LOST);
      expect(told).toMatchObject({ kind: 'volume.delete', step: expect.any(String) });
      await stack.docker('volume', 'rm', `${PROJECT}_${LOST}`);
      await stack.nodeIs(LOST, 'down');
      await stack.succeeds(deletion);
      await stack.eventually('the replica to be elsewhere', async () => {
        const { robustness, operation } = await stack.volume('kept');
        const nodes = await nodesOf('kept');
        return robustness === 'healthy' && operation === null && !nodes.includes(LOST)
          ? true
          : undefined;
      });
      expect(await nodesOf('kept')).toEqual(['node-1', 'node-2']);
      const { failures, blocks } = await load.end();
      expect(failures).toEqual([]);
      expect(blocks).toBeGreaterThan(0);
      const { operations } = await stack.request('operation.list', {});
      const rebuilds = operations.filter(({ kind }) => kind === 'replica.rebuild');
      expect(rebuilds.map(({ state }) => state)).toContain('succeeded');
      await stack.request('volume.detach', { volume: 'kept' });
      const sums = await stack.request('replica.checksum', { volume: 'kept' });
      expect(sums).toMatchObject({ identical: true });
    });

    it('is forgotten, and one that is new takes its place', async () => {
      await stack.request('node.remove', { node: LOST });
      await expect(stack.request('node.get', { node: LOST })).rejects.toMatchObject({
        code: 'NODE_NOT_FOUND',
      });
      await stack.compose('up', '--detach', '--no-recreate', LOST);
      await stack.ready();
      await stack.request('volume.update', { volume: 'kept', replicas: 3 });
      expect(await nodesOf('kept')).toEqual(['node-1', 'node-2', LOST]);
      await stack.request('volume.delete', { volume: 'kept' });
      expect(await stack.leftovers()).toEqual([]);
    });
  },
);
