import { join } from 'node:path';
import {
  type LariatEvent,
  STREAMS,
  deadLetterSubject,
  eventSubject,
  lariatError,
} from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import { jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { trace } from '@opentelemetry/api';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectNats } from '../connection.js';
import { readDeadLetters } from '../dead-letter.js';
import { ensureStreams } from '../streams.js';
import { EventLane } from './event-lane.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..', '..'));
const DEADLINE_MS = 15_000;

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited for ${what}`);
    await delay(10);
  }
}

describe.skipIf(binary === undefined)('events on a real nats-server', () => {
  let nats: TestNats;
  let connection: NatsConnection;
  let lane: EventLane;
  let handled: string[];
  let handle: (event: LariatEvent) => Promise<void>;
  let round = 0;

  const newLane = async (): Promise<EventLane> => {
    const made = new EventLane({
      connection,
      service: 'test',
      tracer: trace.getTracer('test'),
      log: createLog('test', 'error', () => undefined),
    });
    made.serve('volume.>', `round-${round}`, async (body) => {
      const event = body as LariatEvent;
      handled.push(event.id);
      await handle(event);
    });
    await made.start();
    return made;
  };

  const tell = async (objectId: string, sequence: number): Promise<void> => {
    const event: LariatEvent = {
      id: `volume.${objectId}.${sequence}`,
      kind: 'volume',
      objectId,
      type: 'changed',
      sequence,
      at: '2026-01-01T00:00:00.000Z',
      actor: 'test',
      data: null,
    };
    await jetstream(connection).publish(
      eventSubject('volume', objectId, 'changed'),
      JSON.stringify(event),
    );
  };

  const deadLetters = (): { reasons: string[]; stop: () => void } => {
    const reasons: string[] = [];
    const subscription = connection.subscribe(deadLetterSubject(STREAMS.events.name), {
      callback: (_error, message) => {
        reasons.push(message.json<{ reason: { code: string } }>().reason.code);
      },
    });
    return { reasons, stop: () => subscription.unsubscribe() };
  };

  beforeAll(async () => {
    nats = await startNats(binary ?? '');
    connection = await connectNats({ servers: nats.url, name: 'test' });
    await ensureStreams(connection);
  });
  afterAll(async () => {
    await connection.close();
    await nats.stop();
  });
  beforeEach(async () => {
    round += 1;
    handled = [];
    handle = () => Promise.resolve();
    lane = await newLane();
  });
  afterEach(() => lane.stop());

  it('keeps the order of an object when one of its events fails at first, and lets the others pass', async () => {
    let failures = 2;
    handle = async (event) => {
      if (event.id !== 'volume.a.1' || failures === 0) return;
      failures -= 1;
      throw new Error('not now');
    };
    await tell('a', 1);
    await tell('a', 2);
    await tell('b', 1);
    await until('all events', () => handled.includes('volume.a.2'));
    expect(handled.filter((id) => id.startsWith('volume.a'))).toEqual([
      'volume.a.1',
      'volume.a.1',
      'volume.a.1',
      'volume.a.2',
    ]);
    expect(handled.indexOf('volume.b.1')).toBeLessThan(handled.lastIndexOf('volume.a.1'));
  });

  it('puts what is no event into the dead letters, and goes on', async () => {
    const letters = deadLetters();
    await jetstream(connection).publish(eventSubject('volume', 'c', 'changed'), '{');
    await jetstream(connection).publish(eventSubject('volume', 'c', 'changed'), '{"id":1}');
    await tell('c', 1);
    await until('the good event', () => handled.length > 0);
    letters.stop();
    expect(letters.reasons).toEqual(['REQUEST_MALFORMED', 'REQUEST_MALFORMED']);
    const { deadLetters: listed, kept } = await readDeadLetters(connection, 100);
    expect(kept).toBe(2);
    expect(listed).toMatchObject([
      { sequence: 1, stream: STREAMS.events.name, bodyBegin: '{', bodyBytes: 1 },
      { sequence: 2, reason: { kind: 'invalid' }, bodyBegin: '{"id":1}' },
    ]);
    expect((await readDeadLetters(connection, 1)).deadLetters).toMatchObject([{ sequence: 2 }]);
    expect(handled).toEqual(['volume.c.1']);
  });

  it('puts an event that its handler refuses into the dead letters with the reason, and goes on', async () => {
    const { kept } = await readDeadLetters(connection, 100);
    handle = (event) =>
      event.id === 'volume.e.1'
        ? Promise.reject(lariatError('REQUEST_INVALID', 'No such thing.'))
        : Promise.resolve();
    await tell('e', 1);
    await tell('e', 2);
    await until('the good event', () => handled.includes('volume.e.2'));
    expect(handled).toEqual(['volume.e.1', 'volume.e.2']);
    const { deadLetters: listed } = await readDeadLetters(connection, 100);
    expect(listed.slice(kept)).toMatchObject([
      { reason: { code: 'REQUEST_INVALID', message: 'No such thing.' }, deliveryCount: 1 },
    ]);
  });

  it('gives the next start what a stop has interrupted', async () => {
    handle = () => Promise.reject(new Error('never'));
    await tell('d', 1);
    await until('the first try', () => handled.length > 0);
    await lane.stop();
    const tries = handled.length;
    handle = () => Promise.resolve();
    lane = await newLane();
    await until('the event again', () => handled.length > tries);
    expect(handled.at(-1)).toBe('volume.d.1');
  });
});
