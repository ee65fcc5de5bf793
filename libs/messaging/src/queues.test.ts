import { join } from 'node:path';
import { STREAMS, commandSubject } from '@lariat/contracts';
import { findNatsBinary, startNats } from '@lariat/testing';
import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { expect, it, onTestFinished } from 'vitest';
import { connectNats } from './connection.js';
import { readQueues } from './queues.js';
import { ensureStreams } from './streams.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));

it.skipIf(binary === undefined)('tells what waits for each consumer, and since when', async () => {
  const nats = await startNats(binary ?? '');
  const connection = await connectNats({ servers: nats.url, name: 'test' });
  onTestFinished(async () => {
    await connection.close();
    await nats.stop();
  });
  await ensureStreams(connection);
  const js = jetstream(connection);
  const { consumers } = await jetstreamManager(connection);
  for (const node of ['n1', 'n2'])
    await consumers.add(STREAMS.commands.name, {
      durable_name: `agent-${node}`,
      filter_subject: commandSubject(node, '>'),
      ack_policy: AckPolicy.Explicit,
    });
  const send = (node: string) => js.publish(commandSubject(node, 'replica.create'), '{}');
  await send('n2');
  await send('n1');
  await send('n1');
  // One of them is under way.
  const taken = await (await js.consumers.get(STREAMS.commands.name, 'agent-n1')).next();
  const nowMs = Date.now() + 60_000;
  const byConsumer = async () =>
    new Map((await readQueues(connection, nowMs)).map((queue) => [queue.consumer, queue]));
  const before = await byConsumer();
  expect(before.get('agent-n1')).toMatchObject({ stream: 'LARIAT_COMMANDS', depth: 2 });
  expect(before.get('agent-n2')).toMatchObject({ depth: 1 });
  expect(before.get('agent-n2')?.oldestMs).toBeGreaterThanOrEqual(59_000);
  taken?.ack();
  await (
    await js.consumers.get(STREAMS.commands.name, 'agent-n1')
  )
    .next()
    .then((last) => last?.ackAck());
  expect((await byConsumer()).get('agent-n1')).toMatchObject({ depth: 0, oldestMs: 0 });
});
