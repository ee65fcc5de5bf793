import { randomBytes } from 'node:crypto';
import { MIB } from '@lariat/kernel';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { steadyLoad, type SteadyLoad } from '../chaos/steady-load.js';
import { openStack, whyNoEngine } from './shared-stack.js';
import type { Stack } from './stack.js';

const missing = whyNoEngine();
const SIZE_BYTES = 8 * MIB;
const MORE = 20;
const ASKED_IN_VAIN_MS = 1_000;
const LOST = 'node-3';
const ADDRESS = '172.30.77.13';

interface Fault {
  readonly what: string;
  begin(stack: Stack): Promise<unknown>;
  end(stack: Stack): Promise<unknown>;
}

const FAULTS: readonly Fault[] = [
  {
    what: 'paused',
    begin: (stack) => stack.docker('pause', stack.container(LOST)),
    end: (stack) => stack.docker('unpause', stack.container(LOST)),
  },
  {
    what: 'killed and not started again',
    begin: (stack) => stack.docker('kill', stack.container(LOST)),
    end: (stack) => stack.docker('start', stack.container(LOST)),
  },
  {
    what: 'cut off from the network',
    begin: (stack) => stack.docker('network', 'disconnect', stack.network, stack.container(LOST)),
    end: (stack) =>
      stack.docker(
        ...['network', 'connect', '--ip', ADDRESS, '--alias', LOST],
        ...[stack.network, stack.container(LOST)],
      ),
  },
];

describe.skipIf(missing !== undefined)(
  `containers that are lost under a volume in use (${missing ?? 'an engine is here'})`,
  () => {
    let stack: Stack;
    let load: SteadyLoad;
    beforeAll(async () => {
      stack = await openStack();
      await stack.ready();
      await create('used');
      await stack.request('volume.attach', { volume: 'used', node: 'node-1', frontend: 'nbd' });
    });
    afterAll(async () => {
      await stack.close();
    });
    beforeEach(async () => {
      load = await steadyLoad((await stack.socketOf('used')).uri, SIZE_BYTES);
    });
    afterEach(async () => {
      await load.end();
    });

    const create = (name: string) =>
      stack.request('volume.create', { name, sizeBytes: SIZE_BYTES, replicas: 3 });

    /** Resolves when so much more has been written and read back, none of it in vain. */
    async function goesOn(): Promise<void> {
      const before = load.soFar().blocks;
      await stack.eventually('the load to go on', () => {
        const { blocks, failures } = load.soFar();
        return Promise.resolve(blocks > before + MORE || failures.length > 0 ? true : undefined);
      });
      expect(load.soFar().failures).toEqual([]);
    }

    it.each(FAULTS)(
      'cost no write when a node of the volume is $what, and what waits for it says so',
      async (fault) => {
        await create('other');
        await goesOn();
        await fault.begin(stack);
        try {
          const operation = await stack.begin('volume.delete', { volume: 'other' });
          const seen = await stack.waitsFor(operation, LOST);
          expect(seen).toMatchObject({ kind: 'volume.delete', state: 'running' });
          expect(seen.step).toEqual(expect.any(String));
          expect(seen.traceId).toMatch(/^[\da-f]{32}$/);
          await stack.eventually('the volume to be degraded', async () =>
            (await stack.volume('used')).robustness === 'degraded' ? true : undefined,
          );
          await goesOn();
          // Its node is given up in the end: nothing waits for it for ever.
          await stack.succeeds(operation);
        } finally {
          await fault.end(stack);
        }
        await stack.ready();
        await stack.whole('used');
        await goesOn();
      },
    );

    it('cost no write when the container of a node dies, and it is started again', async () => {
      await create('other');
      await goesOn();
      const operation = await stack.begin('volume.delete', { volume: 'other' });
      await stack.crash(stack.container(LOST));
      await stack.succeeds(operation);
      const restarts = await stack.inspect(stack.container(LOST), '{{.RestartCount}}');
      expect(Number(restarts)).toBeGreaterThan(0);
      await goesOn();
      await stack.ready();
      await stack.whole('used');
      await goesOn();
    });

    it('cost no write when NATS is stopped, and what was asked for goes on when it is back', async () => {
      await create('other');
      await goesOn();
      const operation = await stack.begin('volume.delete', { volume: 'other' });
      await stack.docker('stop', stack.container('nats'));
      await goesOn();
      await expect(stack.request('volume.list', {}, ASKED_IN_VAIN_MS)).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        message: expect.stringContaining('was not answered'),
      });
      await stack.docker('start', stack.container('nats'));
      await stack.succeeds(operation);
      await stack.ready();
      expect(await create('after')).toMatchObject({ robustness: 'healthy' });
      await stack.request('volume.delete', { volume: 'after' });
      await goesOn();
    });

    it('cost no byte when the container dies that the volume is used in', async () => {
      await create('other');
      await load.end();
      const data = randomBytes(SIZE_BYTES);
      const device = await stack.device('used');
      await device.writeAll(0, data);
      await device.flush();
      const operation = await stack.begin('volume.delete', { volume: 'other' });
      await stack.crash(stack.container('node-1'));
      await stack.succeeds(operation);
      await stack.ready();
      const again = await stack.eventually('the volume to be served again', () =>
        stack.device('used').catch(() => undefined),
      );
      expect((await again.read(0, SIZE_BYTES)).equals(data)).toBe(true);
      await again.close();
      await stack.whole('used');
    });

    it('leave replicas that are the same, and nothing when the volume is deleted', async () => {
      await load.end();
      await stack.whole('used');
      await stack.request('volume.detach', { volume: 'used' });
      const sums = await stack.request('replica.checksum', { volume: 'used' });
      expect(sums).toMatchObject({ identical: true });
      expect(sums.replicas).toHaveLength(3);
      await stack.request('volume.delete', { volume: 'used' });
      expect(await stack.leftovers()).toEqual([]);
    });
  },
);
