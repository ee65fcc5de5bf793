import { STREAMS, commandConsumer, commandSubject, lariatError } from '@lariat/contracts';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import type { NatsConnection } from '@nats-io/nats-core';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectNats } from './connection.js';
import { type WantedConsumer, askForConsumer, makeCommandConsumer } from './consumers.js';
import { ensureStreams } from './streams.js';

const binary = findNatsBinary(join(import.meta.dirname, '../../..'));

describe.skipIf(binary === undefined)('what an agent takes its commands from', () => {
  let nats: TestNats;
  let connection: NatsConnection;
  const said: unknown[] = [];
  const wanted = (node: string, ask: () => Promise<unknown>): WantedConsumer => ({
    ...{ connection, stream: STREAMS.commands.name, consumer: commandConsumer(node), ask },
    ...{ filter: commandSubject(node, '>'), log: { warn: (text) => said.push(text) } },
  });

  beforeAll(async () => {
    nats = await startNats(binary ?? '');
    connection = await connectNats({ servers: nats.url, name: 'test' });
    await ensureStreams(connection);
  });
  afterAll(async () => {
    await connection.close();
    await nats.stop();
  });

  it('is asked for until a service is there, and not again when it is', async () => {
    const { signal } = new AbortController();
    let asked = 0;
    const ask = async (): Promise<void> => {
      asked += 1;
      if (asked === 1) throw lariatError('SERVICE_UNAVAILABLE', 'not yet');
      await makeCommandConsumer(connection, 'n1');
    };
    await askForConsumer(wanted('n1', ask), signal);
    expect(asked).toBe(2);
    expect(said).toEqual(['waiting for a service']);
    await askForConsumer(wanted('n1', ask), signal);
    expect(asked).toBe(2);
  });

  it('is not waited for when it is refused for good, or nobody wants it any more', async () => {
    const stopping = new AbortController();
    const refuse = () => Promise.reject(lariatError('NODE_MISMATCH', 'no'));
    await expect(askForConsumer(wanted('n2', refuse), stopping.signal)).rejects.toMatchObject({
      code: 'NODE_MISMATCH',
    });
    const away = () => {
      stopping.abort();
      return Promise.reject(lariatError('SERVICE_UNAVAILABLE', 'no'));
    };
    await expect(askForConsumer(wanted('n2', away), stopping.signal)).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
    });
  });
});
