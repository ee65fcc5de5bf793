import { isEnded, lariatError } from '@lariat/contracts';
import { LariatError, noFaultPoints } from '@lariat/kernel';
import type { Versioned } from '@lariat/messaging';
import { createLog, createTelemetry } from '@lariat/telemetry';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RETRY_BRIEFLY, type SagaDefinition } from './definition.js';
import { DEAD_AFTER_MS, Liveness } from './liveness.js';
import type { SagaRecord } from './saga-record.js';
import { SagaRunner, type SagaRunnerOptions } from './saga-runner.js';
import { FenceLost } from './saga-store.js';

/** Design, section 4: a dead instance's sagas are taken up within this. */
const TAKEN_UP_WITHIN_MS = 5_000;
const STEP_TIMEOUT_MS = 3_000;

const clock = { nowMs: () => Date.now(), monotonicMs: () => Date.now() };
const log = createLog('test', 'error', () => undefined);

/** The journal, in memory: a write that is not based on the last revision is refused, as NATS does. */
class Journal {
  readonly records = new Map<string, Versioned<SagaRecord>>();
  /** Every revision of every record, and when it was written. */
  readonly written: { readonly atMs: number; readonly record: SagaRecord }[] = [];

  cached = (id: string): Versioned<SagaRecord> | undefined => this.records.get(id);
  find = (id: string): Promise<Versioned<SagaRecord> | undefined> =>
    Promise.resolve(this.cached(id));
  running = (): readonly Versioned<SagaRecord>[] =>
    [...this.records.values()].filter(({ value }) => !isEnded(value.state));
  listen = (): (() => void) => () => undefined;
  claim = ({ id }: SagaRecord): Promise<string> => Promise.resolve(id);
  create = (record: SagaRecord): Promise<Versioned<SagaRecord>> => this.put(record, 1);
  write = (previous: Versioned<SagaRecord>, next: SagaRecord): Promise<Versioned<SagaRecord>> =>
    this.cached(next.id)?.revision === previous.revision
      ? this.put(next, previous.revision + 1)
      : Promise.reject(new FenceLost(next.id));

  private put(record: SagaRecord, revision: number): Promise<Versioned<SagaRecord>> {
    const versioned = { value: record, revision, sequence: revision };
    this.records.set(record.id, versioned);
    this.written.push({ atMs: Date.now(), record });
    return Promise.resolve(versioned);
  }
}

type Hear = (error: null, message: { readonly subject: string; readonly data: Uint8Array }) => void;

/** Core NATS as far as beats need it; who is cut off is not heard, and hears nothing. */
class Air {
  readonly cutOff = new Set<string>();
  private readonly ears = new Map<string, Hear>();

  connectionOf(instance: string): ConstructorParameters<typeof Liveness>[0] {
    const connection = {
      isClosed: () => false,
      subscribe: (_subject: string, { callback }: { readonly callback: Hear }) => {
        this.ears.set(instance, callback);
        return { unsubscribe: () => this.ears.delete(instance) };
      },
      publish: (subject: string, data = new Uint8Array()) => {
        if (this.cutOff.has(instance)) return;
        for (const [name, hear] of this.ears)
          if (!this.cutOff.has(name)) hear(null, { subject, data });
      },
    };
    return connection as unknown as ConstructorParameters<typeof Liveness>[0];
  }
}

class World {
  readonly journal = new Journal();
  readonly air = new Air();
  private readonly runners: SagaRunner[] = [];

  constructor(private readonly definition: SagaDefinition<object, object>) {}

  instance(name: string): SagaRunner {
    const telemetry = createTelemetry({
      ...{ serviceName: 'test', serviceVersion: '0', instanceId: name },
    });
    const options = {
      store: this.journal,
      cancels: {
        actorOf: () => undefined,
        forget: () => undefined,
        listen: () => () => undefined,
      },
      liveness: new Liveness(this.air.connectionOf(name), name, clock.monotonicMs),
      instance: name,
      commands: {},
      client: {},
      tracing: telemetry,
      clock,
      log,
      faults: noFaultPoints,
      definitions: [this.definition],
    };
    const runner = new SagaRunner(options as unknown as SagaRunnerOptions);
    this.runners.push(runner);
    return runner;
  }

  async stop(): Promise<void> {
    const stopped = Promise.all(this.runners.map((runner) => runner.stop()));
    await vi.advanceTimersByTimeAsync(10_000);
    await stopped;
  }
}

const saga = (
  run: () => Promise<void>,
  timeoutMs = STEP_TIMEOUT_MS,
): SagaDefinition<object, object> => ({
  kind: 'demo',
  subjectOf: () => 'demo/one',
  steps: [{ name: 'only', waitsFor: 'it', timeoutMs, retry: RETRY_BRIEFLY, run }],
});
const request = { kind: 'demo', input: {}, actor: 'test', requestId: undefined };

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('an instance that dies', () => {
  it(`has its sagas taken up within ${TAKEN_UP_WITHIN_MS} ms, at whatever moment it dies, and not while it lives`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 20_000 }),
        fc.integer({ min: 0, max: 2_000 }),
        async (livesMs, laterMs) => {
          const world = new World(saga(() => new Promise(() => undefined), 3_600_000));
          const first = world.instance('first');
          await vi.advanceTimersByTimeAsync(laterMs);
          world.instance('second');
          const { id } = await first.start(request);
          await vi.advanceTimersByTimeAsync(livesMs);
          expect(world.journal.cached(id)?.value).toMatchObject({ holder: 'first', fence: 1 });
          world.air.cutOff.add('first');
          const diedAtMs = Date.now();
          await vi.advanceTimersByTimeAsync(TAKEN_UP_WITHIN_MS);
          const taken = world.journal.written.find(({ record }) => record.fence === 2);
          expect(taken?.record.holder).toBe('second');
          const tookMs = (taken?.atMs ?? 0) - diedAtMs;
          expect(tookMs).toBeGreaterThan(DEAD_AFTER_MS - 1_000);
          expect(tookMs).toBeLessThanOrEqual(TAKEN_UP_WITHIN_MS);
          await world.stop();
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each([
    ['that was there', true, 1_000],
    ['that begins only then', false, TAKEN_UP_WITHIN_MS],
  ])('leaves its sagas, when it is stopped, to an instance %s', async (_who, isThere, withinMs) => {
    const world = new World(saga(() => new Promise(() => undefined)));
    const first = world.instance('first');
    const { id } = await first.start(request);
    if (isThere) world.instance('second');
    const stopped = first.stop();
    await vi.advanceTimersByTimeAsync(DEAD_AFTER_MS);
    await stopped;
    const leftAtMs = Date.now();
    if (!isThere) world.instance('second');
    await vi.advanceTimersByTimeAsync(withinMs);
    const taken = world.journal.written.find(({ record }) => record.holder === 'second');
    expect(taken?.record).toMatchObject({ id, fence: 2 });
    expect((taken?.atMs ?? 0) - leftAtMs).toBeGreaterThanOrEqual(0);
    await world.stop();
  });
});

describe('a step', () => {
  it('that does not end is given up at its deadline, and run again after a growing wait with jitter', async () => {
    const world = new World(saga(() => new Promise(() => undefined)));
    const { id } = await world.instance('one').start(request);
    await vi.advanceTimersByTimeAsync(60_000);
    const { attempts, backoff } = RETRY_BRIEFLY;
    const retries = world.journal.written.filter(({ record }) => record.nextTryAtMs !== null);
    expect(retries).toHaveLength(attempts - 1);
    const waits = retries.map(({ atMs, record }) => (record.nextTryAtMs ?? 0) - atMs);
    for (const [index, waitMs] of waits.entries()) {
      const ceilingMs = Math.min(backoff.maxMs, backoff.initialMs * backoff.factor ** index);
      expect(waitMs).toBeGreaterThanOrEqual(ceilingMs / 2);
      expect(waitMs).toBeLessThanOrEqual(ceilingMs);
    }
    expect(retries[0]?.atMs).toBe(STEP_TIMEOUT_MS);
    expect(retries[0]?.record.lastError).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(world.journal.cached(id)?.value).toMatchObject({
      state: 'failed',
      error: { code: 'DEADLINE_EXCEEDED', kind: 'timeout' },
    });
    await world.stop();
  });

  it.each([
    ['outlives an election of ten seconds, in which JetStream refuses each write at once', 10_000],
    ['is given up in the end where JetStream stays away', Number.POSITIVE_INFINITY],
  ])('%s', async (_what, awayMs) => {
    const beganMs = Date.now();
    const away = lariatError('NATS_UNAVAILABLE', 'not confirmed');
    const world = new World(
      saga(() => (Date.now() - beganMs < awayMs ? Promise.reject(away) : Promise.resolve())),
    );
    const { id } = await world.instance('one').start(request);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(world.journal.cached(id)?.value).toMatchObject(
      awayMs === 10_000 ? { state: 'succeeded' } : { state: 'failed', error: away.toRecord() },
    );
    await world.stop();
  });

  it('of many operations at once is not tried again by all at the same moment', async () => {
    const world = new World({
      ...saga(() =>
        Promise.reject(new LariatError({ kind: 'unavailable', code: 'LATER', message: 'later' })),
      ),
      subjectOf: (input) => `demo/${JSON.stringify(input)}`,
    });
    const runner = world.instance('one');
    for (let number = 0; number < 50; number += 1)
      await runner.start({ ...request, input: { number } });
    await vi.advanceTimersByTimeAsync(0);
    const tries = world.journal.written.flatMap(({ record }) => record.nextTryAtMs ?? []);
    expect(tries).toHaveLength(50);
    expect(new Set(tries).size).toBeGreaterThan(10);
    await world.stop();
  });
});
