import { join } from 'node:path';
import { CHECKOUT } from '@lariat/cli';
import { MIB, delay } from '@lariat/kernel';
import { type TestRedis, findRedisBinary, startRedis } from '@lariat/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

const binary = findRedisBinary();
/** By its path, so that its process has a name of its own. */
const SECOND = join(CHECKOUT, 'apps', 'volume-svc');

interface Numbers {
  readonly adapter: string;
  readonly shared: number;
  readonly memory: number;
  readonly lagMs: number;
}

describe.skipIf(binary === undefined)('lists that two volume services share by redis', () => {
  let e2e: E2eCluster;
  let redis: TestRedis;
  const there = new Set<string>();
  let made = 0;

  beforeAll(async () => {
    redis = await startRedis(binary ?? '');
    e2e = await startE2e({
      ...{ split: true, nodes: 1, plugins: [SECOND] },
      env: { ...process.env, LARIAT_REDIS_URL: redis.url },
    });
  });
  afterAll(async () => {
    await e2e.stop();
    await redis.stop();
  });

  const numbers = async (): Promise<readonly Numbers[]> => {
    const found: Numbers[] = [];
    const replies = await e2e.connection.requestMany('$SRV.STATS.volume-svc', '', {
      ...{ strategy: 'count', maxMessages: 2, maxWait: 10_000 },
    });
    for await (const reply of replies)
      found.push(reply.json<{ lists: { volumes: Numbers } }>().lists.volumes);
    return found;
  };
  const listed = async (): Promise<readonly string[]> => {
    const { volumes } = await e2e.client.request('volume.list', { limit: 1_000 });
    return volumes.map(({ name }) => name);
  };
  /** Whichever of the services changes a volume, whichever is asked: what is answered has it. */
  const changeAndList = async (): Promise<void> => {
    made += 1;
    const name = `v${String(made).padStart(4, '0')}`;
    await e2e.client.request('volume.create', { name, sizeBytes: MIB, replicas: 1 });
    there.add(name);
    expect(await listed()).toEqual([...there].toSorted());
    const [oldest = ''] = there;
    if (there.size < 6) return;
    await e2e.client.request('volume.delete', { volume: oldest });
    there.delete(oldest);
    expect(await listed()).toEqual([...there].toSorted());
  };
  const expectRightAnswers = async (): Promise<void> => {
    for (let round = 0; round < 4; round += 1) await changeAndList();
  };
  const adapters = async (): Promise<readonly string[]> =>
    (await numbers()).map(({ adapter }) => adapter);
  /** Lists until each service has answered from redis once more. */
  const expectShared = async (): Promise<void> => {
    const before = (await numbers()).reduce((sum, { shared }) => sum + shared, 0);
    const deadline = performance.now() + 20_000;
    for (;;) {
      expect(await listed()).toEqual([...there].toSorted());
      if ((await numbers()).reduce((sum, { shared }) => sum + shared, 0) > before + 1) return;
      if (performance.now() > deadline) throw new Error('redis answered no list');
      await delay(20);
    }
  };

  it('have every change at once, and come from redis', async () => {
    await expectRightAnswers();
    await expectShared();
    expect(await adapters()).toEqual(['redis', 'redis']);
  });

  it('stay right while redis is frozen, and come from it again', async () => {
    redis.freeze();
    await expectRightAnswers();
    redis.thaw();
    await expectShared();
    expect(await adapters()).toEqual(['redis', 'redis']);
  });

  it('stay right when redis is flushed', async () => {
    await redis.command('FLUSHALL');
    await expectRightAnswers();
    await expectShared();
    expect(await adapters()).toEqual(['redis', 'redis']);
  });

  it('stay right while redis is away, and after it is back with nothing', async () => {
    await redis.kill();
    await expectRightAnswers();
    await redis.start();
    await expectRightAnswers();
    await expectShared();
    expect(await adapters()).toEqual(['redis', 'redis']);
  });
});
