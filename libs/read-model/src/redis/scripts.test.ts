import { delay } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { type TestRedis, findRedisBinary, startRedis } from '@lariat/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ITEM_LIST, type ItemRecord } from '../list.test-support.js';
import { type StoredChange, changeOf } from './changes.js';
import { RedisConnection } from './redis-connection.js';
import { APPLY, BEGIN, LOAD, PAGE, STATUS, SWITCH, type Script } from './scripts.js';

const binary = findRedisBinary();
const LEASE_MS = 60_000;
const record = (name: string): ItemRecord => ({ parts: [{ name, size: 1, state: 'a' }] });
const change = (key: string, revision: number, name: string | null): StoredChange =>
  changeOf(ITEM_LIST, key, revision, name === null ? null : record(name));

describe.skipIf(binary === undefined)('what Redis does with changes of a list', () => {
  let redis: TestRedis;
  let connection: RedisConnection;

  const run = (script: Script, ...args: readonly (string | number)[]): Promise<unknown> =>
    connection.run(script, { key: '{list}', args, deadlineMs: 10_000 });
  const apply = (from: number, to: number, ...changes: StoredChange[]): Promise<unknown> =>
    run(APPLY, from, to, to, JSON.stringify(changes));
  const make = async (
    token: string,
    position: number,
    ...changes: StoredChange[]
  ): Promise<readonly unknown[]> => [
    await run(BEGIN, token, LEASE_MS),
    await run(LOAD, token, LEASE_MS, JSON.stringify(changes)),
    await run(SWITCH, token, position, position),
  ];
  const names = async (): Promise<readonly string[]> => {
    const page = (await run(PAGE, 0, 'name', 0, '', 100, 1_000_000, '[]')) as [
      string,
      number,
      string,
      string[],
    ];
    expect(page[0]).toBe('page');
    return page[3].map((item) => (JSON.parse(item) as { name: string }).name);
  };

  beforeAll(async () => {
    redis = await startRedis(binary ?? '');
    connection = await RedisConnection.open(
      redis.url,
      createLog('test', 'error', () => undefined),
    );
    // The first call may come before the connection is there.
    while ((await run(STATUS).catch(() => 'not yet')) !== null) await delay(10);
  });
  beforeEach(async () => {
    await redis.command('FLUSHALL');
  });
  afterAll(async () => {
    connection.close();
    await redis.stop();
  });

  it('refuses those with a gap before them', async () => {
    expect(await make('t1', 3, change('k', 3, 'old'))).toEqual([1, 1, 1]);
    expect(await apply(4, 5, change('k', 5, 'new'))).toEqual(['gap', 3]);
    expect(await names()).toEqual(['old']);
    expect(await apply(3, 5, change('k', 5, 'new'))).toEqual(['applied', 5]);
    expect(await names()).toEqual(['new']);
  });

  it('passes over those that it has, also within what it lacks', async () => {
    await make('t1', 3, change('k', 3, 'newer'));
    expect(await apply(1, 2, change('k', 2, 'older'))).toEqual(['known', 3]);
    expect(await apply(1, 5, change('k', 2, 'older'), change('l', 5, 'other'))).toEqual([
      'applied',
      5,
    ]);
    expect(await names()).toEqual(['newer', 'other']);
    expect(await apply(3, 5, change('l', 5, null))).toEqual(['known', 5]);
    expect(await names()).toEqual(['newer', 'other']);
  });

  it('takes nothing where there is no list', async () => {
    expect(await apply(0, 1, change('k', 1, 'x'))).toEqual(['absent']);
    expect(await run(STATUS)).toBeNull();
    expect(await redis.command('DBSIZE')).toBe(':0');
  });

  it('keeps the list that has come further, and nothing of the other', async () => {
    await make('t1', 5, change('k', 5, 'further'));
    const keys = await redis.command('DBSIZE');
    await make('t2', 4, change('k', 4, 'behind'), change('l', 3, 'gone since'));
    expect(await names()).toEqual(['further']);
    expect(await redis.command('DBSIZE')).toBe(keys);
    await make('t3', 6, change('m', 6, 'furthest'));
    expect(await names()).toEqual(['furthest']);
    expect(await run(STATUS)).toEqual(['t3', 6, '6']);
    expect(await redis.command('DBSIZE')).toBe(keys);
  });

  it('lets one process at a time make it anew, and takes away what one left half made', async () => {
    expect(await run(BEGIN, 't1', LEASE_MS)).toBe(1);
    expect(await run(LOAD, 't1', LEASE_MS, JSON.stringify([change('k', 1, 'half')]))).toBe(1);
    expect(await run(BEGIN, 't2', LEASE_MS)).toBe(0);
    expect(await run(LOAD, 't2', LEASE_MS, '[]')).toBe(0);
    expect(await run(SWITCH, 't2', 9, 9)).toBe(0);
    await redis.command('DEL {list}:builder');
    expect(await make('t3', 2, change('l', 2, 'whole'))).toEqual([1, 1, 1]);
    expect(await run(LOAD, 't1', LEASE_MS, '[]')).toBe(0);
    expect(await names()).toEqual(['whole']);
    expect(await redis.command('EXISTS {list}:t1:items {list}:t1:meta')).toBe(':0');
  });
});
