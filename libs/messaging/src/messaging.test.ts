import { join } from 'node:path';
import { BUCKETS, type LariatEvent, lariatError, requestSubject } from '@lariat/contracts';
import { ReconcileCounts, delay } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { trace } from '@opentelemetry/api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LariatClient } from './client.js';
import { CommandClient } from './commands/command-client.js';
import { connectNats } from './connection.js';
import { relayEvents } from './event-relay.js';
import { readEvents } from './events.js';
import { Lease } from './lease.js';
import { DELETED_KEEP_MS, MarkBucket } from './mark-bucket.js';
import { RecordBucket } from './record-bucket.js';
import { ServiceDiscovery } from './service-discovery.js';
import { ensureStreams } from './streams.js';
import { CommandLane } from './transport/command-lane.js';
import { type Handler, RequestLane } from './transport/request-lane.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));
const tracer = trace.getTracer('test');
const log = createLog('test', 'error', () => undefined);

async function until<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`waited for ${what}`);
    await delay(20);
  }
}

describe.skipIf(binary === undefined)('messaging on a real nats-server', () => {
  let nats: TestNats;
  let connection: NatsConnection;
  let other: NatsConnection;

  beforeAll(async () => {
    nats = await startNats(binary ?? '');
    connection = await connectNats({ servers: nats.url, name: 'test' });
    other = await connectNats({ servers: nats.url, name: 'other' });
    await ensureStreams(connection);
  });
  afterAll(async () => {
    await connection.close();
    await other.close();
    await nats.stop();
  });

  it('says what to do when no NATS answers', async () => {
    const refused = connectNats({
      servers: 'nats://127.0.0.1:1',
      name: 'x',
      connectTimeoutMs: 300,
    });
    await expect(refused).rejects.toMatchObject({ code: 'NATS_UNAVAILABLE', kind: 'unavailable' });
  });

  describe('requests', () => {
    const handlers: Record<string, Handler> = {
      'volume.get': async (body) => ({ got: body }),
      'volume.list': async () => {
        throw lariatError('VOLUME_NOT_FOUND', 'no\nvolume', { volume: 'x' });
      },
      'node.get': () => new Promise(() => undefined),
    };
    let client: LariatClient;

    beforeAll(async () => {
      const counts = new ReconcileCounts();
      counts.looked('strays', 3);
      counts.repaired('strays');
      const discovery = new ServiceDiscovery(
        connection,
        { name: 'svc', instance: 'i1', version: '1.2.3', description: 'd' },
        { reconciled: () => counts.view() },
      );
      const lane = new RequestLane({ connection, service: 'svc', discovery, tracer, log });
      for (const [name, handler] of Object.entries(handlers)) lane.serve(name, handler);
      discovery.listen();
      await connection.flush();
      client = new LariatClient({ connection: other, actor: 'tester' });
    });

    it('are answered with data', async () => {
      await expect(client.requestRaw('volume.get', { volume: 'v1' })).resolves.toEqual({
        got: { volume: 'v1' },
      });
    });

    it('carry errors in the body and in the headers', async () => {
      await expect(client.requestRaw('volume.list', {})).rejects.toMatchObject({
        code: 'VOLUME_NOT_FOUND',
        kind: 'not_found',
        details: { volume: 'x' },
      });
      const reply = await other.request(requestSubject('volume.list'), '{}');
      expect(reply.headers?.get('Nats-Service-Error-Code')).toBe('404');
      expect(reply.headers?.get('Nats-Service-Error')).toBe('VOLUME_NOT_FOUND: no volume');
    });

    it.each([
      ['{', 'REQUEST_MALFORMED'],
      ['[]', 'REQUEST_MALFORMED'],
      ['{"volume":"v1","x":1}', 'REQUEST_INVALID'],
      ['', 'NAME_INVALID'],
    ])('refuse the body %j with %s', async (body, code) => {
      const reply = await other.request(requestSubject('volume.get'), body);
      expect(reply.json<{ error: { code: string } }>().error.code).toBe(code);
    });

    it('say when nobody serves them, and when nobody answers in time', async () => {
      await expect(client.requestRaw('volume.create', {})).rejects.toMatchObject({
        code: 'SERVICE_UNAVAILABLE',
      });
      await expect(
        client.requestRaw('node.get', { node: 'n1' }, { timeoutMs: 50 }),
      ).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        kind: 'timeout',
      });
    });

    it('are discoverable as a NATS service', async () => {
      const info = (await other.request('$SRV.INFO.svc', '')).json<{
        type: string;
        endpoints: { subject: string }[];
      }>();
      expect(info.type).toBe('io.nats.micro.v1.info_response');
      expect(info.endpoints.map(({ subject }) => subject)).toContain('lariat.v1.volume.get');
      const stats = (await other.request('$SRV.STATS.svc', '')).json<{
        endpoints: { num_requests: number; num_errors: number }[];
        reconciled: object;
      }>();
      expect(stats.reconciled).toEqual({ strays: { looks: 3, repairs: 1 } });
      expect(stats.endpoints[0]?.num_requests).toBeGreaterThan(0);
      expect(stats.endpoints[1]?.num_errors).toBeGreaterThan(0);
    });
  });

  describe('records', () => {
    const open = (
      on: NatsConnection,
      bucket: string = BUCKETS.volumes,
    ): Promise<RecordBucket<{ n: number }>> =>
      RecordBucket.open<{ n: number }>({
        connection: on,
        bucket,
        kind: 'volume',
        nowMs: () => Date.now(),
      });

    it('lose no update when two instances change one record at once', async () => {
      const [a, b] = await Promise.all([open(connection), open(other)]);
      await a.create('counter', { n: 0 }, [], 'test');
      const add = (bucket: RecordBucket<{ n: number }>): Promise<unknown> =>
        bucket.change('counter', ({ n }) => ({ value: { n: n + 1 }, events: [] }), 'test');
      await Promise.all(Array.from({ length: 60 }, (_, index) => add(index % 2 === 0 ? a : b)));
      await expect(b.read('counter')).resolves.toMatchObject({ value: { n: 60 } });
      await until('the cache of the other instance', () =>
        a.cached('counter')?.value.n === 60 ? true : undefined,
      );
    });

    it('are made once, and changed only by who knows the last revision', async () => {
      const bucket = await open(connection);
      const first = await bucket.create('once', { n: 1 }, [], 'test');
      await expect(bucket.create('once', { n: 2 }, [], 'test')).rejects.toMatchObject({
        code: 'REVISION_CONFLICT',
      });
      await bucket.update('once', first, { n: 3 }, [], 'test');
      await expect(bucket.update('once', first, { n: 4 }, [], 'test')).rejects.toMatchObject({
        code: 'REVISION_CONFLICT',
      });
      await expect(
        bucket.change('absent', (value) => ({ value, events: [] }), 'test'),
      ).resolves.toBeUndefined();
    });

    it('are all read as they are, also what another instance has written just now', async () => {
      const [writer, reader] = await Promise.all([
        open(connection, 'lariat-read-all'),
        open(other, 'lariat-read-all'),
      ]);
      expect((await reader.readAll()).size).toBe(0);
      for (let n = 1; n <= 40; n += 1) {
        const record = await writer.create(`r${n}`, { n: 0 }, [], 'test');
        const changed = await writer.update(`r${n}`, record, { n }, [], 'test');
        if (n % 2 === 0) await writer.remove(`r${n}`, changed, [], 'test');
        const found = await reader.readAll();
        const last = n % 2 === 0 ? undefined : { n };
        expect(found.get(`r${n}`)?.value).toEqual(last);
        expect(found.size).toBe(Math.ceil(n / 2));
      }
    });

    it('tell each event once and in order, over a restart of the relay, and sweep tombstones', async () => {
      const name = BUCKETS.nodes;
      const bucket = await open(connection, name);
      const relay = (): { stop: () => Promise<void> } => {
        const abort = new AbortController();
        const running = relayEvents({ connection, bucket: name, log }, abort.signal);
        return {
          stop: async () => {
            abort.abort();
            await running;
          },
        };
      };
      const first = relay();
      let record = await bucket.create('told', { n: 0 }, [{ type: 'made', data: null }], 'test');
      for (let n = 1; n <= 20; n += 1) {
        if (n === 10) await first.stop();
        record = await bucket.update(
          'told',
          record,
          { n },
          [{ type: 'changed', data: { n } }],
          'test',
        );
      }
      const second = relay();
      await bucket.remove('told', record, [{ type: 'gone', data: null }], 'test');
      const events: LariatEvent[] = [];
      for await (const event of readEvents(connection, { filter: 'volume.told.>', follow: true })) {
        events.push(event);
        if (event.type === 'gone') break;
      }
      expect(events.map(({ sequence }) => sequence)).toEqual(
        Array.from({ length: 22 }, (_, index) => index + 1),
      );
      expect(bucket.cached('told')).toBeUndefined();
      await expect(bucket.read('told')).resolves.toBeUndefined();
      // Once the tombstone is swept the key is free again.
      const kv = await new Kvm(jetstream(connection)).open(name);
      await until('the sweep', async () =>
        (await kv.get('told'))?.operation === 'PURGE' ? true : undefined,
      );
      await until('the key to be free', () =>
        bucket.create('told', { n: 1 }, [], 'test').catch(() => undefined),
      );
      // Its second life counts from 1 again, and is told all the same.
      const again = await bucket.read('told');
      if (again === undefined) throw new Error('it was made again');
      await bucket.update('told', again, { n: 2 }, [{ type: 'reborn', data: null }], 'test');
      for await (const event of readEvents(connection, {
        filter: 'volume.told.reborn',
        follow: true,
      })) {
        expect(event.sequence).toBe(1);
        break;
      }
      await second.stop();
    });
  });

  it('keeps marks over a restart of who made them, and knows none that was not made', async () => {
    const open = (on: NatsConnection): Promise<MarkBucket> =>
      MarkBucket.open(on, BUCKETS.deleted, DELETED_KEEP_MS);
    const marks = await open(connection);
    expect(await marks.has('vol-gone')).toBe(false);
    await marks.add('vol-gone');
    await marks.add('vol-gone');
    const others = await open(other);
    expect(await others.has('vol-gone')).toBe(true);
    expect(await others.has('vol-kept')).toBe(false);
  });

  it('lets one instance at a time hold a lease, and gives it on', async () => {
    const holders: string[] = [];
    const start = (instance: string, on: NatsConnection): Promise<Lease> =>
      Lease.start({
        connection: on,
        name: 'duty',
        instance,
        log,
        whileHeld: async (signal) => {
          holders.push(instance);
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        },
      });
    const a = await start('a', connection);
    const b = await start('b', other);
    expect(holders).toEqual(['a']);
    await a.stop();
    await until('b to hold it', () => (holders.includes('b') ? true : undefined));
    await b.stop();
  });

  it('lets any number of duties listen for its end, without a warning of a leak', async () => {
    const warnings: string[] = [];
    const hear = ({ name }: Error): number => warnings.push(name);
    process.on('warning', hear);
    let listening = 0;
    const lease = await Lease.start({
      ...{ connection, name: 'many-duties', instance: 'a', log },
      whileHeld: async (signal) => {
        const ends = Array.from({ length: 25 }, async () => {
          listening += 1;
          await delay(60_000, signal);
        });
        await Promise.all(ends);
      },
    });
    await until('the duties', () => (listening === 25 ? true : undefined));
    // A warning is told on the next turn.
    await new Promise((resolve) => setImmediate(resolve));
    await lease.stop();
    process.off('warning', hear);
    expect(warnings).toEqual([]);
  });

  describe('commands', () => {
    const envelope = (id: string, deadlineMs = 20_000) =>
      ({
        id,
        command: 'replica.create',
        operation: 'op-1',
        step: 's',
        fence: 1,
        deadlineAtMs: Date.now() + deadlineMs,
        input: { replica: 'r', volume: 'v', disk: 'd', sizeBytes: 1 },
      }) as const;

    it('come again when their agent died, and are answered once it is back', async () => {
      const commands = new CommandClient(connection, 'inst-a', tracer);
      const dying = await connectNats({ servers: nats.url, name: 'dying' });
      const first = new CommandLane({ connection: dying, node: 'n1', tracer, log });
      let reached = false;
      first.serve('replica.create', () => {
        reached = true;
        return new Promise(() => undefined);
      });
      await first.start();
      const answer = commands.send('n1', envelope('c1'));
      await until('the command to reach the first agent', () => (reached ? true : undefined));
      await dying.close();
      const second = new CommandLane({ connection: other, node: 'n1', tracer, log });
      const seen: number[] = [];
      second.serve('replica.create', async (_body, context) => {
        seen.push(context.facts.deliveryCount);
        return { lvolUuid: 'u' };
      });
      await second.start();
      await expect(answer).resolves.toEqual({ lvolUuid: 'u' });
      expect(seen[0]).toBeGreaterThan(1);
      await second.stop();
    });

    it('carry the agent’s error, and say when the outcome is not known', async () => {
      const commands = new CommandClient(connection, 'inst-b', tracer);
      await expect(commands.send('nobody', envelope('c2', 100))).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
      });
      const lane = new CommandLane({ connection: other, node: 'n2', tracer, log });
      lane.serve('replica.create', async () => {
        throw lariatError('DISK_FULL', 'full');
      });
      await lane.start();
      await expect(commands.send('n2', envelope('c3'))).rejects.toMatchObject({
        code: 'DISK_FULL',
      });
      // What is no command is kept with its reason, not delivered for ever.
      connection.publish('lariat.v1.node.n2.replica.create', 'garbage');
      const manager = await jetstreamManager(connection);
      await until('the dead letter', async () =>
        (await manager.streams.info('LARIAT_DEAD_LETTERS')).state.messages > 0 ? true : undefined,
      );
      await lane.stop();
    });
  });

  it('goes on after nats-server was killed and started again', async () => {
    const bucket = await RecordBucket.open<{ n: number }>({
      connection,
      bucket: BUCKETS.allocations,
      kind: 'disk',
      nowMs: () => Date.now(),
    });
    const watching = await RecordBucket.open<{ n: number }>({
      connection: other,
      bucket: BUCKETS.allocations,
      kind: 'disk',
      nowMs: () => Date.now(),
    });
    await bucket.create('kept', { n: 1 }, [], 'test');
    await nats.restart();
    const read = await until('the record', () => bucket.read('kept').catch(() => undefined));
    expect(read.value).toEqual({ n: 1 });
    await until('a write', () =>
      bucket.update('kept', read, { n: 2 }, [], 'test').catch(() => undefined),
    );
    await until(
      'the watch to follow',
      () => (watching.cached('kept')?.value.n === 2 ? true : undefined),
      30_000,
    );
  }, 60_000);
});
