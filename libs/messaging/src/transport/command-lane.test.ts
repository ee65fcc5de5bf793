import { join } from 'node:path';
import { STREAMS, commandSubject } from '@lariat/contracts';
import { createLog } from '@lariat/telemetry';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import { jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { trace } from '@opentelemetry/api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandClient } from '../commands/command-client.js';
import { connectNats } from '../connection.js';
import { readDeadLetters } from '../dead-letter.js';
import { ensureStreams } from '../streams.js';
import { CommandLane } from './command-lane.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..', '..'));
const tracer = trace.getTracer('test');
const log = createLog('test', 'error', () => undefined);
/** As in command-lane.ts. */
const MAX_DELIVERIES = 8;

describe.skipIf(binary === undefined)('commands on a real nats-server', () => {
  let nats: TestNats;
  let connection: NatsConnection;
  beforeAll(async () => {
    nats = await startNats(binary ?? '');
    connection = await connectNats({ servers: nats.url, name: 'test' });
    await ensureStreams(connection);
  });
  afterAll(async () => {
    await connection.close();
    await nats.stop();
  });

  it('that were delivered again and again, and killed their agent each time, are refused and kept as dead letters', async () => {
    const node = 'n1';
    const newLane = (): CommandLane => new CommandLane({ connection, node, tracer, log });
    const first = newLane();
    first.serve('replica.create', () => Promise.reject(new Error('nothing was sent yet')));
    await first.start();
    await first.stop();
    const answer = new CommandClient(connection, 'inst', tracer)
      .send(node, {
        ...{ id: 'c1', command: 'replica.create', operation: 'op-1', step: 's', fence: 1 },
        deadlineAtMs: Date.now() + 60_000,
        input: { replica: 'r', volume: 'v', disk: 'd', sizeBytes: 1 },
      })
      .catch((error: unknown) => error);
    // What an agent that dies leaves: a delivery that was never acknowledged.
    const consumer = await jetstream(connection).consumers.get(
      STREAMS.commands.name,
      `agent-${node}`,
    );
    for (let delivery = 1; delivery <= MAX_DELIVERIES; delivery += 1)
      (await consumer.next({ expires: 10_000 }))?.nak();
    const lane = newLane();
    let carriedOut = 0;
    lane.serve('replica.create', () => {
      carriedOut += 1;
      return Promise.resolve({ lvolUuid: 'u' });
    });
    await lane.start();
    await expect(answer).resolves.toMatchObject({ code: 'INTERNAL' });
    await lane.stop();
    expect(carriedOut).toBe(0);
    const { deadLetters } = await readDeadLetters(connection, 10);
    expect(deadLetters).toMatchObject([
      {
        stream: STREAMS.commands.name,
        subject: commandSubject(node, 'replica.create'),
        deliveryCount: MAX_DELIVERIES + 1,
        reason: { code: 'INTERNAL' },
      },
    ]);
  }, 30_000);
});
