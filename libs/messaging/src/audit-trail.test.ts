import { join } from 'node:path';
import { STREAMS, lariatError } from '@lariat/contracts';
import { createLog } from '@lariat/telemetry';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { trace } from '@opentelemetry/api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditTrail, readAudit } from './audit-trail.js';
import { LariatClient } from './client.js';
import { connectNats } from './connection.js';
import { ServiceDiscovery } from './service-discovery.js';
import { ensureStreams } from './streams.js';
import { RequestLane } from './transport/request-lane.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));

describe.skipIf(binary === undefined)('the audit trail on a real nats-server', () => {
  const lines: string[] = [];
  const log = createLog('svc', 'info', (line) => lines.push(line));
  let nats: TestNats;
  let connection: NatsConnection;
  let client: LariatClient;
  let lane: RequestLane;
  let whileHandled: () => Promise<void> = () => Promise.resolve();

  beforeAll(async () => {
    nats = await startNats(binary ?? '');
    connection = await connectNats({ servers: nats.url, name: 'test' });
    await ensureStreams(connection);
    client = new LariatClient({ connection, actor: 'ann' });
    const about = { name: 'svc', instance: 'i', version: '1.0.0', description: '' };
    const discovery = new ServiceDiscovery(connection, about, {});
    const tracer = trace.getTracer('test');
    const audit = new AuditTrail(connection, log);
    lane = new RequestLane({ connection, service: 'svc', discovery, tracer, log, audit });
    lane.serve('volume.delete', async () => {
      await whileHandled();
      return {};
    });
    lane.serve('volume.detach', () =>
      Promise.reject(lariatError('VOLUME_NOT_ATTACHED', 'It is not attached.')),
    );
    lane.serve('volume.get', () => Promise.resolve({}));
  });
  afterAll(async () => {
    await lane.drain();
    await connection.close();
    await nats.stop();
  });

  it('has a request before it is carried out, and its result before it is answered', async () => {
    let meanwhile: unknown;
    whileHandled = async () => {
      meanwhile = await readAudit(connection, {}, 10);
    };
    await client.request('volume.delete', { volume: 'v1' }, { requestId: 'r1' });
    expect(meanwhile).toMatchObject([{ actor: 'ann', result: 'unanswered', durationMs: null }]);
    expect(await readAudit(connection, {}, 10)).toMatchObject([
      {
        ...{ actor: 'ann', request: 'volume.delete', things: { volume: 'v1' }, requestId: 'r1' },
        ...{ service: 'svc', result: 'ok', code: null, durationMs: expect.any(Number) as unknown },
      },
    ]);
  });

  it('tells of what was refused, also for how it was asked, and not of reads', async () => {
    await expect(client.request('volume.detach', { volume: 'v2' })).rejects.toThrow('attached');
    await expect(client.requestRaw('volume.detach', { volume: 7 })).rejects.toThrow('volume');
    await client.request('volume.get', { volume: 'v2' });
    const entries = await readAudit(connection, { result: 'refused' }, 10);
    expect(entries.map(({ code }) => code)).toEqual(['VOLUME_NOT_ATTACHED', 'NAME_INVALID']);
    expect(await readAudit(connection, { request: 'volume.get' }, 10)).toEqual([]);
  });

  it('is not to be cleaned up', async () => {
    const { streams } = await jetstreamManager(connection);
    const kept = (await streams.info(STREAMS.audit.name)).state.messages;
    await expect(streams.deleteMessage(STREAMS.audit.name, 1)).rejects.toThrow('not permitted');
    await expect(streams.purge(STREAMS.audit.name)).rejects.toThrow('not permitted');
    expect((await streams.info(STREAMS.audit.name)).state.messages).toBe(kept);
  });

  it('costs no request its answer when it can’t be written, and is in the log then', async () => {
    const { streams } = await jetstreamManager(connection);
    await streams.delete(STREAMS.audit.name);
    whileHandled = () => Promise.resolve();
    expect(await client.request('volume.delete', { volume: 'v3' })).toEqual({});
    const logged = lines.filter((line) => line.includes('request not audited'));
    expect(logged.map((line) => (JSON.parse(line) as { audit: object }).audit)).toMatchObject([
      { phase: 'asked', actor: 'ann', things: { volume: 'v3' } },
      { phase: 'answered', result: 'ok' },
    ]);
  });
});
