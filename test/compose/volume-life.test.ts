import { randomBytes } from 'node:crypto';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openStack, whyNoEngine } from './shared-stack.js';
import { NODES, type Stack } from './stack.js';

const missing = whyNoEngine();
const SIZE_BYTES = 16 * MIB;

describe.skipIf(missing !== undefined)(
  `a volume of containers (${missing ?? 'an engine is here'})`,
  () => {
    let stack: Stack;
    const data = randomBytes(SIZE_BYTES);
    beforeAll(async () => {
      stack = await openStack();
      await stack.ready();
    });
    afterAll(async () => {
      await stack.close();
    });

    it('is created and attached by the command line in a container, as the README says', async () => {
      const lariat = (...args: readonly string[]) =>
        stack.compose('run', '--rm', 'lariat', ...args, '--json');
      const { nodes } = JSON.parse(await lariat('node', 'list')) as { nodes: { name: string }[] };
      expect(nodes.map(({ name }) => name).toSorted()).toEqual([...NODES]);
      await lariat('volume', 'create', 'db', '--size', '16MiB');
      await lariat('volume', 'attach', 'db', '--node', 'node-1', '--frontend', 'nbd');
      expect(await stack.volume('db')).toMatchObject({
        ...{ state: 'attached', robustness: 'healthy', sizeBytes: SIZE_BYTES },
        attachment: { node: 'node-1', frontend: 'nbd' },
      });
    });

    it('gives on each node what was written on another', async () => {
      const device = await stack.device('db');
      expect((await device.read(0, SIZE_BYTES)).equals(Buffer.alloc(SIZE_BYTES))).toBe(true);
      await device.writeAll(0, data);
      await device.flush();
      await device.close();
      await stack.request('volume.detach', { volume: 'db' });
      for (const node of ['node-2', 'node-3'] as const) {
        await stack.request('volume.attach', { volume: 'db', node, frontend: 'nbd' });
        const reader = await stack.device('db');
        expect((await reader.read(0, SIZE_BYTES)).equals(data)).toBe(true);
        await reader.close();
        await stack.request('volume.detach', { volume: 'db' });
      }
      const sums = await stack.request('replica.checksum', { volume: 'db' });
      expect(sums).toMatchObject({ identical: true });
      expect(sums.replicas.map(({ node }) => node).toSorted()).toEqual([...NODES]);
    });

    it('leaves nothing when it is deleted', async () => {
      await stack.succeeds(await stack.begin('volume.delete', { volume: 'db' }));
      expect(await stack.leftovers()).toEqual([]);
    });
  },
);
