import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { CHECKOUT, findNatsServer, pluginHostFile } from '@lariat/cli';
import { BUCKETS, type ReplicaRecord, type VolumeRecord } from '@lariat/contracts';
import { MIB, delay, newReplicaId, newUuid, newVolumeId } from '@lariat/kernel';
import { LariatClient, RecordBucket, connectNats } from '@lariat/messaging';
import {
  type TestNats,
  type TestRedis,
  findRedisBinary,
  startNats,
  startRedis,
} from '@lariat/testing';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quantile, ratePerSecond, timeEach } from './quantiles.js';

const VOLUMES = 10_000;
const PAGE = 100;
const ROUNDS = 5;
const SAMPLES = 100;

let nats: TestNats;
let connection: NatsConnection;
let client: LariatClient;

const print = (line: string): boolean => process.stderr.write(`${line}\n`);
const nameOf = (index: number): string => `v${String(index).padStart(5, '0')}`;

const replicaOn = (node: string): ReplicaRecord => ({
  ...{ id: newReplicaId(), node, disk: `disk-of-${node}`, mode: 'RW', state: 'ready' },
  ...{ lvolUuid: newUuid(), reason: null, faultedAtMs: null },
});

const volume = (index: number): VolumeRecord => ({
  ...{ id: newVolumeId(), name: nameOf(index), sizeBytes: MIB, replicaCount: 3 },
  ...{ state: 'detached', content: { state: 'blank' }, labels: { index: String(index % 10) } },
  ...{ createdAt: new Date(index * 1_000).toISOString(), uuid: newUuid(), epoch: 1, clean: true },
  ...{ attachment: null, replicas: ['n1', 'n2', 'n3'].map(replicaOn), snapshots: [] },
  ...{ headParent: null, operation: null },
});

async function startService(env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [pluginHostFile(), '--nats', nats.url, '--plugin', '@lariat/volume-svc'],
    { cwd: CHECKOUT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(child.stdout, 'data');
  return child;
}

async function ratioOf(what: string, query: object): Promise<number> {
  const get: number[] = [];
  const list: number[] = [];
  const ask = { limit: PAGE, ...query };
  // In turns, so that both meet the machine in the same state.
  for (let round = 0; round < ROUNDS; round += 1) {
    const one = nameOf(round + 1);
    get.push(...(await timeEach(SAMPLES, () => client.request('volume.get', { volume: one }))));
    list.push(...(await timeEach(SAMPLES, () => client.request('volume.list', ask))));
  }
  const ratio = quantile(list, 0.5) / quantile(get, 0.5);
  const us = (samples: readonly number[]): string => (quantile(samples, 0.5) * 1000).toFixed(0);
  print(
    `volume.get p50 ${us(get)} us; volume.list, ${PAGE} of ${VOLUMES}, ${what}: p50 ${us(list)} us, ${ratio.toFixed(2)} times (aim: at most 3)`,
  );
  const stats = await connection.request('$SRV.STATS.volume-svc', '', { timeout: 5_000 });
  const { endpoints } = stats.json<{
    endpoints: readonly { name: string; average_processing_time: number }[];
  }>();
  for (const { name, average_processing_time: ns } of endpoints)
    if (name === 'volume-get' || name === 'volume-list')
      print(`  of it in the service, mean: ${name} ${(ns / 1000).toFixed(0)} us`);
  return ratio;
}

beforeAll(async () => {
  nats = await startNats(findNatsServer(process.env));
  connection = await connectNats({ servers: nats.url, name: 'bench' });
  client = new LariatClient({ connection, actor: 'bench' });
  const records = await RecordBucket.open<VolumeRecord>({
    ...{ connection, bucket: BUCKETS.volumes, kind: 'volume', nowMs: () => Date.now() },
  });
  await ratePerSecond(VOLUMES, 64, async (index) => {
    const record = volume(index);
    await records.create(record.id, record, [], 'bench');
  });
});

afterAll(async () => {
  await connection.close();
  await nats.stop();
});

const queries = [
  ['by name', {}],
  ['a tenth of them by a label, by size', { labels: { index: '3' }, sort: 'size' }],
] as const;

describe('lists from memory', () => {
  let service: ChildProcess;
  beforeAll(async () => {
    service = await startService({});
  });
  afterAll(async () => {
    service.kill();
    await once(service, 'exit');
  });

  it.each(queries)('answers a page, %s, against volume.get', async (what, query) => {
    expect((await client.request('volume.list', { limit: 1 })).total).toBe(VOLUMES);
    expect(await ratioOf(`memory, ${what}`, query)).toBeGreaterThan(0);
  });
});

const binary = findRedisBinary();

describe.skipIf(binary === undefined)('lists from redis', () => {
  let service: ChildProcess;
  let redis: TestRedis;
  beforeAll(async () => {
    redis = await startRedis(binary ?? '');
    service = await startService({ LARIAT_REDIS_URL: redis.url });
  });
  afterAll(async () => {
    service.kill();
    await once(service, 'exit');
    await redis.stop();
  });

  it.each(queries)('answers a page, %s, against volume.get', async (what, query) => {
    for (;;) {
      await client.request('volume.list', { limit: 1 });
      const stats = await connection.request('$SRV.STATS.volume-svc', '', { timeout: 5_000 });
      const { lists } = stats.json<{ lists: { volumes: { shared: number } } }>();
      if (lists.volumes.shared > 0) break;
      await delay(50);
    }
    expect(await ratioOf(`redis, ${what}`, query)).toBeGreaterThan(0);
  });
});
