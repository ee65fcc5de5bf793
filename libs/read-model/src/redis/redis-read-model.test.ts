import { delay } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { type TestRedis, findRedisBinary, startRedis } from '@lariat/testing';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ITEM_LIST, type ItemRecord, allPages, expectedList } from '../list.test-support.js';
import type { PageQuery } from '../read-model.port.js';
import { RecordList } from '../record-list.js';
import { RedisConnection } from './redis-connection.js';
import { RedisReadModel } from './redis-read-model.js';
import type { ScriptCall, ScriptStore } from './script-store.port.js';
import { APPLY, type Script } from './scripts.js';
import { type TestReader, TestStream } from './stream.test-support.js';

const binary = findRedisBinary();
const log = createLog('test', 'error', () => undefined);
const ALL: PageQuery = {
  ...{ order: 'name', descending: false, facets: [], after: null, limit: null },
  maxBytes: 10_000_000,
};
const item = (name: string, size = 1): ItemRecord => ({ parts: [{ name, size, state: 'a' }] });

type Mishap = 'none' | 'twice' | 'lost' | 'unanswered' | 'again-later';

/** A connection with what may happen to calls on a network; each mishap is used up by one call. */
class FaultyStore implements ScriptStore {
  private readonly later: (() => Promise<unknown>)[] = [];

  constructor(
    private readonly store: ScriptStore,
    private readonly mishaps: Mishap[],
  ) {}

  async run(script: Script, call: ScriptCall): Promise<unknown> {
    const mishap = script === APPLY ? (this.mishaps.shift() ?? 'none') : 'none';
    if (mishap === 'lost') throw new Error('the call was lost');
    if (mishap === 'twice') await this.store.run(script, call);
    const answer = await this.store.run(script, call);
    if (mishap === 'again-later') this.later.push(() => this.store.run(script, call));
    else await Promise.all(this.later.splice(0).map((repeat) => repeat()));
    if (mishap === 'unanswered') throw new Error('the answer was lost');
    return answer;
  }
}

describe.skipIf(binary === undefined)('a list in a real redis-server', () => {
  let redis: TestRedis;
  let connection: RedisConnection;
  let models: RedisReadModel<ItemRecord>[] = [];
  let streams = 0;

  const newStream = (): TestStream => {
    streams += 1;
    return new TestStream(`stream ${streams}`);
  };
  const modelOf = (
    source: TestReader,
    store: ScriptStore = connection,
    readDeadlineMs = 10_000,
  ): RedisReadModel<ItemRecord> => {
    const clock = { monotonicMs: () => performance.now() };
    const model = new RedisReadModel({
      ...{ source, form: ITEM_LIST, store, clock, log, readDeadlineMs, retryMs: 5 },
    });
    models.push(model);
    return model;
  };
  const closeAll = async (): Promise<void> => {
    await Promise.all(models.map((model) => model.close()));
    models = [];
  };
  /** Asks until Redis itself answers: what lags, or is made anew, does not. */
  const answered = async <T>(ask: () => Promise<T | undefined>): Promise<T> => {
    const deadline = performance.now() + 30_000;
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (performance.now() > deadline) throw new Error('redis never answered');
      await delay(5);
    }
  };
  const wholeList = (model: RedisReadModel<ItemRecord>, atLeast: number) =>
    answered(() => model.page(ALL, atLeast));

  beforeAll(async () => {
    redis = await startRedis(binary ?? '');
  });
  beforeEach(async () => {
    connection = await RedisConnection.open(redis.url, log);
  });
  afterEach(async () => {
    await closeAll();
    connection.close();
  });
  afterAll(async () => {
    await redis.stop();
  });

  it('gives the same pages as memory after any history, with calls lost, repeated and late, processes that come and go, and flushes', async () => {
    const part = fc.record({
      // Few names, so that many are the same, or begin others; some that are not ASCII.
      name: fc.constantFrom('a', 'ab', 'a-b', 'b', 'ä', '日本', 'a\u0000b', ''),
      size: fc.constantFrom(0, 9, 10, 1_000_000_000_000),
      state: fc.constantFrom('a' as const, 'b' as const, 'c' as const),
    });
    const change = fc.record({
      act: fc.constant('write' as const),
      key: fc.constantFrom('k0', 'k1', 'k2', 'k3', 'k4'),
      value: fc.option(fc.record({ parts: fc.array(part, { maxLength: 3 }) }), { freq: 4 }),
    });
    const other = fc.record({
      act: fc.constantFrom('read', 'read', 'read', 'restart', 'flush', 'look', 'settle'),
      process: fc.constantFrom(0, 1),
      most: fc.integer({ min: 1, max: 8 }),
    });
    const history = fc.record({
      acts: fc.array(fc.oneof({ weight: 3, arbitrary: change }, other), { maxLength: 40 }),
      mishaps: fc.array(
        fc.constantFrom<Mishap[]>('none', 'twice', 'lost', 'unanswered', 'again-later'),
        { maxLength: 12 },
      ),
      query: fc.record({
        order: fc.constantFrom('name', 'size'),
        descending: fc.boolean(),
        facets: fc.constantFrom([], ['state=a'], ['state=a', 'parts=2'], ['state=none']),
        limit: fc.constantFrom(1, 2, 100),
        maxBytes: fc.constantFrom(60, 1_000_000),
      }),
    });
    await fc.assert(
      fc.asyncProperty(history, async ({ acts, mishaps, query }) => {
        const stream = newStream();
        const store = new FaultyStore(connection, [...mishaps]);
        const begin = () => {
          const reader = stream.reader();
          return { reader, model: modelOf(reader, store) };
        };
        const processes = [begin(), begin()];
        const looks: (readonly (readonly string[])[])[] = [];
        for (const act of acts) {
          if (act.act === 'write') {
            stream.write(act.key, act.value);
            continue;
          }
          const chosen = processes[act.process];
          if (act.act === 'flush') await redis.command('FLUSHALL');
          else if (act.act === 'settle') await delay(10);
          else if (act.act === 'read') chosen?.reader.readOn(act.most);
          else if (act.act === 'restart') {
            await chosen?.model.close();
            processes[act.process] = begin();
          } else {
            const page = await chosen?.model.page(ALL, stream.end);
            const wanted = expectedList(stream.records, ALL).items;
            looks.push([page?.items ?? wanted, wanted]);
          }
          await delay(0);
        }
        for (const [found, wanted] of looks) expect(found).toEqual(wanted);
        for (const { reader, model } of processes) {
          reader.readOn();
          const found = await allPages(
            (asked) => answered(() => model.page(asked, stream.end)),
            query,
          );
          expect(found).toEqual(expectedList(stream.records, query));
          const rows = expectedList(stream.records, { ...query, facets: ['state=a'] });
          const counts = await answered(() => model.counts('state', stream.end));
          expect(counts['a'] ?? 0).toBe(rows.totals[0]);
        }
        await closeAll();
      }),
      { numRuns: 40 },
    );
  }, 240_000);

  it('is made by one of the processes that begin at once, and shared by all', async () => {
    const stream = newStream();
    for (let index = 0; index < 1_000; index += 1) stream.write(`k${index}`, item(`n${index}`));
    const begun = Array.from({ length: 4 }, () => modelOf(stream.reader()));
    const pages = await Promise.all(begun.map((model) => wholeList(model, stream.end)));
    for (const page of pages) expect(page.items).toHaveLength(1_000);
    const rebuilds = begun.map((model) => model.numbers().rebuilds);
    expect(rebuilds.reduce((sum, count) => sum + count, 0)).toBe(1);
  });

  it('is fed by whichever process has read on, and says how late it is', async () => {
    const stream = newStream();
    stream.write('k1', item('one'));
    const readers = [stream.reader(), stream.reader()];
    const [first, second] = readers.map((reader) => modelOf(reader));
    if (first === undefined || second === undefined) throw new Error('two were begun');
    await wholeList(first, 1);
    await wholeList(second, 1);
    stream.write('k2', item('two'));
    readers[0]?.readOn();
    expect((await wholeList(second, 2)).total).toBe(2);
    const isInTime = (): boolean | undefined => first.numbers().lagMs === 0 || undefined;
    await answered(() => Promise.resolve(isInTime()));
    redis.freeze();
    stream.write('k3', item('three'));
    readers[0]?.readOn();
    await delay(30);
    expect(first.numbers().lagMs).toBeGreaterThanOrEqual(20);
    redis.thaw();
    expect((await wholeList(second, 3)).total).toBe(3);
  });

  it('is never answered from where an index was evicted or changed by hand, and is made anew', async () => {
    const stream = newStream();
    for (let index = 0; index < 20; index += 1) stream.write(`k${index}`, item(`n${index}`));
    const model = modelOf(stream.reader());
    const query = { ...ALL, facets: ['state=a'] };
    await answered(() => model.page(query, stream.end));
    for (const pattern of [':f:name:state=a', ':items', ':entries', ':keys', ':meta']) {
      const taken = await redis.command(
        `EVAL "local n = 0 for _, k in ipairs(redis.call('KEYS', '*')) do if string.sub(k, -${pattern.length}) == '${pattern}' then n = n + redis.call('DEL', k) end end return n" 0`,
      );
      expect(Number(taken.slice(1))).toBeGreaterThan(0);
      const before = model.numbers().rebuilds;
      const page = await answered(() => model.page(query, stream.end));
      expect(page).toMatchObject({ total: 20, last: null });
      expect(page.items).toHaveLength(20);
      expect(model.numbers().rebuilds).toBe(before + 1);
    }
  });

  it('is made anew where the stream was put back and has counted on with other records', async () => {
    const stream = newStream();
    for (let index = 0; index < 5; index += 1) stream.write(`k${index}`, item(`old${index}`));
    const before = modelOf(stream.reader());
    await wholeList(before, 5);
    await closeAll();
    stream.entries = stream.entries.slice(0, 2);
    for (let index = 0; index < 5; index += 1) stream.write(`l${index}`, item(`new${index}`), 99);
    const page = await wholeList(modelOf(stream.reader()), stream.end);
    expect(page.items).toEqual(expectedList(stream.records, ALL).items);
  });

  it('is not asked while it is frozen, killed or flushed: memory answers, and rightly', async () => {
    const stream = newStream();
    stream.write('k', item('first'));
    const reader = stream.reader();
    const model = modelOf(reader, connection, 100);
    const list = new RecordList({ source: reader, form: ITEM_LIST, shared: model });
    const check = async (round: number): Promise<void> => {
      stream.write(`k${round}`, item(`n${round}`, round));
      expect((await list.page(ALL)).items).toEqual(expectedList(stream.records, ALL).items);
    };
    const viaRedis = async (): Promise<void> => {
      const before = list.numbers().shared;
      await answered(async () => {
        expect((await list.page(ALL)).items).toEqual(expectedList(stream.records, ALL).items);
        return list.numbers().shared > before ? true : undefined;
      });
    };
    let round = 0;
    const rounds = async (): Promise<void> => {
      for (const last = round + 20; round < last; round += 1) await check(round);
    };
    await viaRedis();
    await rounds();
    redis.freeze();
    const { memory } = list.numbers();
    await rounds();
    expect(list.numbers().memory).toBe(memory + 20);
    redis.thaw();
    await viaRedis();
    await redis.command('FLUSHALL');
    await rounds();
    await viaRedis();
    await redis.kill();
    await rounds();
    await redis.start();
    await rounds();
    await viaRedis();
  }, 120_000);

  it('holds ten thousand records soon after nothing was there', async () => {
    const stream = newStream();
    for (let index = 0; index < 10_000; index += 1)
      stream.write(`k${index}`, item(`n${index}`, index));
    const model = modelOf(stream.reader());
    const query = { ...ALL, order: 'size', descending: true, limit: 100 };
    const page = await answered(() => model.page(query, stream.end));
    expect(page).toMatchObject({ total: 10_000 });
    expect(page.items).toHaveLength(100);
    expect(JSON.parse(page.items[0] ?? '')).toMatchObject({ size: 9_999 });
  }, 60_000);
});

describe('the URL of Redis', () => {
  it.each(['redis', 'http://host', '', 'redis//host', 'unix:///a.sock'])(
    'is refused when it is %j, without being repeated',
    async (url) => {
      await expect(RedisConnection.open(url, log)).rejects.toMatchObject({
        code: 'REDIS_URL_INVALID',
        kind: 'invalid',
      });
    },
  );
});
