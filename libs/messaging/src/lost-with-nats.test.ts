import { join } from 'node:path';
import { STREAMS } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { createLog } from '@lariat/telemetry';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { trace } from '@opentelemetry/api';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LariatClient } from './client.js';
import { CommandClient } from './commands/command-client.js';
import { connectNats } from './connection.js';
import { ServiceDiscovery } from './service-discovery.js';
import { ensureStreams } from './streams.js';
import { CommandLane } from './transport/command-lane.js';
import type { MessageContext } from './transport/message-context.js';
import { RequestLane } from './transport/request-lane.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));
const tracer = trace.getTracer('test');
const log = createLog('test', 'error', () => undefined);
/** Far above what NATS needs to be back, so that whoever waits in vain is seen. */
const DEADLINE_MS = 60_000;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited for ${what}`);
    await delay(20);
  }
}

describe.skipIf(binary === undefined)('what a nats-server that is killed takes with it', () => {
  let nats: TestNats;
  let asks: NatsConnection;
  let serves: NatsConnection;

  beforeEach(async () => {
    nats = await startNats(binary ?? '');
    asks = await connectNats({ servers: nats.url, name: 'asks' });
    serves = await connectNats({ servers: nats.url, name: 'serves' });
    await ensureStreams(asks);
  });
  afterEach(async () => {
    await Promise.all([asks.close(), serves.close()]);
    await nats.stop();
  });

  /** Serves `name` until the test ends. */
  async function serve(
    name: string,
    handler: (context: MessageContext) => Promise<unknown>,
  ): Promise<void> {
    const info = { name: 'svc', instance: 'i1', version: '1.0.0', description: 'd' };
    const discovery = new ServiceDiscovery(serves, info, {});
    const lane = new RequestLane({ connection: serves, service: 'svc', discovery, tracer, log });
    lane.serve(name, (_body, context) => handler(context));
    await serves.flush();
  }

  it('a request is asked again under its request id', async () => {
    const keys: (string | undefined)[] = [];
    await serve('node.list', ({ facts }) => {
      keys.push(facts.requestId);
      return keys.length === 1 ? new Promise(() => undefined) : Promise.resolve({ nodes: [] });
    });
    const client = new LariatClient({ connection: asks, actor: 'tester' });
    const answer = client.request('node.list', {}, { timeoutMs: DEADLINE_MS });
    await until('the first request', () => keys.length === 1);
    await nats.restart();
    await expect(answer).resolves.toEqual({ nodes: [] });
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toEqual(expect.any(String));
  }, 20_000);

  it('a request of somebody else’s plugin is not: what it does twice is not known', async () => {
    let asked = 0;
    await serve('echo.say', () => {
      asked += 1;
      return new Promise(() => undefined);
    });
    const client = new LariatClient({ connection: asks, actor: 'tester' });
    const answer = client
      .requestRaw('echo.say', {}, { timeoutMs: 3_000 })
      .catch((error: unknown) => error);
    await until('the request', () => asked === 1);
    await nats.restart();
    await expect(answer).resolves.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(asked).toBe(1);
  }, 20_000);

  it('a command is sent again, and its answer is heard', async () => {
    const commands = new CommandClient(asks, 'inst', tracer);
    const answer = commands.send('n1', {
      ...{ id: 'c1', command: 'replica.create', operation: 'op-1', step: 's', fence: 1 },
      deadlineAtMs: Date.now() + DEADLINE_MS,
      input: { replica: 'r', volume: 'v', disk: 'd', sizeBytes: 1 },
    });
    const manager = await jetstreamManager(asks);
    const stored = async (): Promise<number> =>
      (await manager.streams.info(STREAMS.commands.name)).state.messages;
    await until('the command to be stored', async () => (await stored()) === 1);
    // As if the server had died before it was on its disk.
    await manager.streams.purge(STREAMS.commands.name);
    await nats.restart();
    const lane = new CommandLane({ connection: serves, node: 'n1', tracer, log });
    lane.serve('replica.create', () => Promise.resolve({ lvolUuid: 'u' }));
    await until('NATS', () =>
      serves.flush().then(
        () => true,
        () => false,
      ),
    );
    await lane.start();
    await expect(answer).resolves.toEqual({ lvolUuid: 'u' });
    await lane.stop();
  }, 20_000);
});
