import type { OperationView } from '@lariat/contracts';
import { join } from 'node:path';
import { isEnded } from '@lariat/contracts';
import { LariatError, delay, noFaultPoints, systemClock } from '@lariat/kernel';
import { CommandClient, LariatClient, connectNats, ensureStreams } from '@lariat/messaging';
import { createLog, createTelemetry } from '@lariat/telemetry';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CancelRequests } from './cancel-requests.js';
import { whileWanted } from './cancellation.js';
import { RETRY_BRIEFLY, RETRY_UNTIL_DONE, type SagaDefinition } from './definition.js';
import { Liveness } from './liveness.js';
import { toOperationView } from './saga-record.js';
import { SagaRunner } from './saga-runner.js';
import { SagaStore } from './saga-store.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));
const log = createLog('test', 'error', () => undefined);

interface Input {
  readonly name: string;
  readonly plan?: 'fails' | 'flaky' | 'hangs-once';
}

/** What the steps have done, by operation; steps are idempotent, so it is a set. */
const effects = new Map<string, Set<string>>();
const runs = new Map<string, number>();
const hung = new Set<string>();

const effectsOf = (name: string): Set<string> => {
  const found = effects.get(name) ?? new Set<string>();
  effects.set(name, found);
  return found;
};

const demo: SagaDefinition<Input, { readonly first: string }> = {
  kind: 'demo',
  subjectOf: ({ name }) => `demo/${name}`,
  steps: ['first', 'second', 'third'].map((name) => ({
    name,
    waitsFor: name,
    timeoutMs: 20_000,
    retry: RETRY_BRIEFLY,
    run: async ({ input }) => {
      const key = `${input.name}/${name}`;
      runs.set(key, (runs.get(key) ?? 0) + 1);
      effectsOf(input.name).add(name);
      if (name === 'second' && input.plan === 'hangs-once' && !hung.has(input.name)) {
        hung.add(input.name);
        await new Promise(() => undefined);
      }
      if (name === 'third' && input.plan === 'fails') {
        throw new LariatError({ kind: 'precondition', code: 'NO', message: 'no' });
      }
      if (name === 'second' && input.plan === 'flaky' && (runs.get(key) ?? 0) < 3) {
        throw new LariatError({ kind: 'unavailable', code: 'LATER', message: 'later' });
      }
      return name === 'first' ? { first: input.name } : undefined;
    },
    undo: async ({ input }) => {
      effectsOf(input.name).delete(name);
    },
  })),
  result: (_input, { first }) => ({ first: first ?? null }),
};

/** Holds the last step of `long` until the test opens it. */
const gates = new Map<string, () => void>();

const long: SagaDefinition<Input, object> = {
  kind: 'long',
  subjectOf: ({ name }) => `long/${name}`,
  steps: [
    {
      name: 'prepare',
      waitsFor: 'prepare',
      timeoutMs: 20_000,
      retry: RETRY_BRIEFLY,
      run: async ({ input }) => void effectsOf(input.name).add('prepare'),
      undo: async ({ input, undoneFor, cancellation }) => {
        effectsOf(input.name).delete('prepare');
        effectsOf(`${input.name}/told`).add(undoneFor?.code ?? 'nothing');
        if (cancellation.aborted) effectsOf(`${input.name}/told`).add('aborted');
      },
    },
    {
      name: 'copy',
      waitsFor: 'copy',
      timeoutMs: 20_000,
      retry: { attempts: 50, backoff: { initialMs: 60_000, maxMs: 60_000, factor: 1 } },
      run: async (context) => {
        const { name, plan } = context.input;
        effectsOf(name).add('copy');
        if (plan === 'flaky')
          throw new LariatError({ kind: 'unavailable', code: 'LATER', message: 'later' });
        if (plan === 'hangs-once') await whileWanted(context, new Promise(() => undefined));
      },
      undo: async ({ input }) => void effectsOf(input.name).delete('copy'),
    },
    {
      name: 'commit',
      waitsFor: 'commit',
      timeoutMs: 20_000,
      retry: RETRY_UNTIL_DONE,
      run: ({ input }) => new Promise((resolve) => gates.set(input.name, () => resolve({}))),
    },
  ],
};

describe.skipIf(binary === undefined)('a saga runner on a real nats-server', () => {
  let nats: TestNats;
  const stops: (() => Promise<void>)[] = [];

  async function runner(instance: string): Promise<{
    runner: SagaRunner;
    store: SagaStore;
    cancels: CancelRequests;
    view: (id: string) => OperationView;
    connection: NatsConnection;
    die: () => Promise<void>;
  }> {
    const connection = await connectNats({ servers: nats.url, name: instance });
    const telemetry = createTelemetry({
      serviceName: 'test',
      serviceVersion: '1.0.0',
      instanceId: instance,
    });
    const cancels = await CancelRequests.open(connection);
    const store = await SagaStore.open(connection, systemClock);
    const made = new SagaRunner({
      store,
      cancels,
      liveness: new Liveness(connection, instance, () => systemClock.monotonicMs()),
      instance,
      commands: new CommandClient(connection, instance, telemetry.tracer),
      client: new LariatClient({ connection, actor: instance }),
      tracing: telemetry,
      clock: systemClock,
      log,
      faults: noFaultPoints,
      definitions: [demo, long],
    });
    const die = (): Promise<void> => connection.close();
    stops.push(die);
    const view = (id: string) => {
      const found = store.cached(id);
      if (found === undefined) throw new Error(`no operation ${id}`);
      return toOperationView(found.value);
    };
    return { runner: made, store, cancels, view, connection, die };
  }

  const start = (on: SagaRunner, input: Input, requestId?: string) =>
    on.start({ kind: 'demo', input: { ...input }, actor: 'test', requestId });

  beforeAll(async () => {
    nats = await startNats(binary ?? '');
    const connection = await connectNats({ servers: nats.url, name: 'setup' });
    stops.push(() => connection.close());
    await ensureStreams(connection);
  });
  afterAll(async () => {
    await Promise.all(stops.map((stop) => stop()));
    await nats.stop();
  });

  it('journals n steps in n + 1 writes and answers with the result', async () => {
    const { runner: sagas } = await runner('writes');
    const manager = await jetstreamManager(
      await connectNats({ servers: nats.url, name: 'count' }).then(
        (c) => (stops.push(() => c.close()), c),
      ),
    );
    const before = (await manager.streams.info('KV_lariat-operations')).state.last_seq;
    const { id } = await start(sagas, { name: 'plain' });
    const ended = await sagas.wait(id, 5_000);
    expect(ended).toMatchObject({ state: 'succeeded', result: { first: 'plain' } });
    expect((await manager.streams.info('KV_lariat-operations')).state.last_seq - before).toBe(4);
  });

  it('undoes in full what a step that fails for good leaves', async () => {
    const { runner: sagas } = await runner('undo');
    const { id } = await start(sagas, { name: 'bad', plan: 'fails' });
    await expect(sagas.wait(id, 5_000)).resolves.toMatchObject({
      state: 'failed',
      error: { code: 'NO' },
    });
    expect([...effectsOf('bad')]).toEqual([]);
  });

  describe('that is asked to cancel', () => {
    const startLong = (on: SagaRunner, input: Input) =>
      on.start({ kind: 'long', input: { ...input }, actor: 'test', requestId: undefined });

    it.each(['flaky', 'hangs-once'] as const)(
      'undoes an operation wherever it waits (%s), and says who has asked for it',
      async (plan) => {
        const { runner: sagas } = await runner(`cancelled-${plan}`);
        const other = await runner(`asks-${plan}`);
        const name = `long-${plan}`;
        const { id } = await startLong(sagas, { name, plan });
        await expect.poll(() => effectsOf(name).has('copy')).toBe(true);
        await expect.poll(() => other.view(id).cancellable).toBe(true);
        await other.cancels.ask(id, 'an operator');
        const ended = await sagas.wait(id, 5_000);
        expect(ended).toMatchObject({ state: 'failed', error: { code: 'OPERATION_CANCELLED' } });
        expect(ended.error?.message).toContain('an operator');
        expect([...effectsOf(name)]).toEqual([]);
        expect([...effectsOf(`${name}/told`)]).toEqual(['OPERATION_CANCELLED']);
      },
    );

    it('goes on behind the point of no return', async () => {
      const { runner: sagas, cancels, view } = await runner('past');
      const { id } = await startLong(sagas, { name: 'past' });
      await expect.poll(() => gates.has('past')).toBe(true);
      expect(view(id)).toMatchObject({ step: 'commit', cancellable: false });
      await cancels.ask(id, 'an operator');
      gates.get('past')?.();
      await expect(sagas.wait(id, 5_000)).resolves.toMatchObject({ state: 'succeeded' });
      expect([...effectsOf('past')]).toEqual(['prepare', 'copy']);
    });

    it('undoes an operation that it takes up from a dead instance', async () => {
      const first = await runner('dies');
      const { id } = await startLong(first.runner, { name: 'orphan', plan: 'hangs-once' });
      await expect.poll(() => effectsOf('orphan').has('copy')).toBe(true);
      await first.die();
      const second = await runner('heir');
      await second.cancels.ask(id, 'an operator');
      await expect(second.runner.wait(id, 15_000)).resolves.toMatchObject({
        state: 'failed',
        error: { code: 'OPERATION_CANCELLED' },
      });
      expect([...effectsOf('orphan')]).toEqual([]);
    }, 30_000);
  });

  it('tries again what may pass', async () => {
    const { runner: sagas } = await runner('retry');
    const { id } = await start(sagas, { name: 'moody', plan: 'flaky' });
    await expect(sagas.wait(id, 10_000)).resolves.toMatchObject({ state: 'succeeded' });
    expect(runs.get('moody/second')).toBe(3);
  });

  it('joins an equal request, refuses another one on the same subject, and knows a request id for good', async () => {
    const { runner: sagas } = await runner('join');
    const first = await start(sagas, { name: 'shared', plan: 'flaky' }, 'key-1');
    const second = await start(sagas, { name: 'shared', plan: 'flaky' });
    expect(second.id).toBe(first.id);
    await expect(start(sagas, { name: 'shared' })).rejects.toMatchObject({
      code: 'OPERATION_IN_PROGRESS',
    });
    await sagas.wait(first.id, 10_000);
    await expect(sagas.known('demo', 'key-1')).resolves.toMatchObject({
      id: first.id,
      state: 'succeeded',
    });
    await expect(sagas.known('other', 'key-1')).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });

  it('makes one operation of equal requests that come at the same moment', async () => {
    const { runner: sagas } = await runner('moment');
    const started = await Promise.all([1, 2, 3].map(() => start(sagas, { name: 'moment' })));
    expect(new Set(started.map(({ id }) => id)).size).toBe(1);
    await sagas.wait(started[0]?.id ?? '', 5_000);
    expect(runs.get('moment/first')).toBe(1);
  });

  it('makes one operation of equal requests that come to several instances at the same moment', async () => {
    const { runner: here } = await runner('here');
    const { runner: there } = await runner('there');
    for (let round = 0; round < 10; round += 1) {
      const name = `spread-${round}`;
      const started = await Promise.all(
        [here, there, here, there].map((on) => start(on, { name, plan: 'flaky' })),
      );
      expect(new Set(started.map(({ id }) => id)).size).toBe(1);
      const other = await start(there, { name }).catch((error: unknown) => error);
      expect(other).toMatchObject({ code: 'OPERATION_IN_PROGRESS' });
      await here.wait(started[0]?.id ?? '', 10_000);
      // Free again for the next one.
      const next = await start(there, { name });
      expect(next.id).not.toBe(started[0]?.id);
      await here.wait(next.id, 10_000);
    }
  }, 30_000);

  it('begins when what it met on the subject has ended before it looked what that was', async () => {
    const { runner: sagas, store } = await runner('just-ended');
    const openGate = async (name: string): Promise<void> => {
      while (!gates.has(name)) await delay(10);
      gates.get(name)?.();
      gates.delete(name);
    };
    const begin = (input: Input): Promise<{ readonly id: string }> =>
      sagas.start({ kind: 'long', input: { ...input }, actor: 'test', requestId: undefined });
    const first = await begin({ name: 'ends' });
    const claim = store.claim.bind(store);
    store.claim = async (record) => {
      const holder = await claim(record);
      if (holder !== record.id) {
        await openGate('ends');
        await sagas.wait(holder, 5_000);
      }
      return holder;
    };
    const second = await begin({ name: 'ends', plan: 'fails' });
    expect(second.id).not.toBe(first.id);
    await openGate('ends');
    await expect(sagas.wait(second.id, 5_000)).resolves.toMatchObject({ state: 'succeeded' });
  });

  it('begins nothing beside an operation whose claim is no longer kept', async () => {
    const { runner: here, die } = await runner('long-here');
    const { runner: there, connection } = await runner('long-there');
    const { id } = await start(here, { name: 'long', plan: 'hangs-once' });
    while (!hung.has('long')) await delay(10);
    const claims = await new Kvm(jetstream(connection)).open('lariat-subjects');
    for await (const key of await claims.keys()) await claims.purge(key);
    await expect(start(there, { name: 'long' })).rejects.toMatchObject({
      code: 'OPERATION_IN_PROGRESS',
      details: { operation: id },
    });
    await die();
    await expect(there.wait(id, 15_000)).resolves.toMatchObject({ state: 'succeeded' });
  }, 30_000);

  it('takes up what an instance that died has begun, and ends it', async () => {
    const dying = await runner('dying');
    const { id } = await start(dying.runner, { name: 'orphan', plan: 'hangs-once' });
    while (!hung.has('orphan')) await delay(10);
    const heir = await runner('heir');
    await dying.die();
    const ended = await heir.runner.wait(id, 15_000);
    expect(ended).toMatchObject({ state: 'succeeded', fence: 2 });
    // Any of the runners of this file may be first.
    expect(ended.holder).not.toBe('dying');
    expect([...effectsOf('orphan')].toSorted()).toEqual(['first', 'second', 'third']);
    expect(isEnded(ended.state)).toBe(true);
  }, 30_000);
});
