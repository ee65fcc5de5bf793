import { join } from 'node:path';
import { BUCKETS } from '@lariat/contracts';
import { RecordBucket, connectNats } from '@lariat/messaging';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ITEM_LIST, type ItemRecord } from './list.test-support.js';
import { RecordList } from './record-list.js';

const ALL = {
  ...{ order: 'name', descending: false, facets: [], after: null, limit: null },
  maxBytes: 1_000_000,
};
const record = (size: number): ItemRecord => ({ parts: [{ name: 'x', size, state: 'a' }] });

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));
let server: TestNats;
const connections: NatsConnection[] = [];

async function openBucket(): Promise<RecordBucket<ItemRecord>> {
  const connection = await connectNats({ servers: server.url, name: 'test' });
  connections.push(connection);
  return RecordBucket.open<ItemRecord>({
    ...{ connection, bucket: BUCKETS.volumes, kind: 'volume' },
    nowMs: () => Date.now(),
  });
}

describe.skipIf(binary === undefined)('a list of records', () => {
  beforeAll(async () => {
    server = await startNats(binary ?? '');
  });

  afterAll(async () => {
    await Promise.all(connections.map((connection) => connection.close()));
    await server.stop();
  });

  it('has what another process has just written, changed or removed', async () => {
    const writer = await openBucket();
    const reader = await openBucket();
    const list = new RecordList({ source: reader, form: ITEM_LIST });
    for (let round = 0; round < 30; round += 1) {
      const key = `k${round}`;
      const made = await writer.create(key, record(round), [], 'test');
      expect((await list.page(ALL)).total).toBe(1);
      const changed = await writer.update(key, made, record(round + 1_000), [], 'test');
      expect((await list.page(ALL)).items).toEqual([
        JSON.stringify({ key, name: 'x', size: round + 1_000, state: 'a' }),
      ]);
      await writer.remove(key, changed, [], 'test');
      expect((await list.page(ALL)).items).toEqual([]);
    }
    expect(list.numbers()).toMatchObject({ adapter: 'memory', items: 0, lagMs: null, shared: 0 });
    expect(list.numbers().memory).toBe(90);
  });

  it('answers with what it has when JetStream does not tell how far it has come', async () => {
    const bucket = await openBucket();
    await bucket.create('here', record(1), [], 'test');
    const list = new RecordList({ source: bucket, form: ITEM_LIST });
    expect((await list.page(ALL)).total).toBe(1);
    await connections.at(-1)?.close();
    expect((await list.page(ALL)).total).toBe(1);
  });
});
