import { join } from 'node:path';
import { findNatsBinary, natsClusterConfigs, startNats } from '@lariat/testing';
import { JetStreamApiError, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { expect, it } from 'vitest';
import { connectNats } from './connection.js';
import { isNatsAway, natsAwayAsUnavailable, onceNatsAnswers } from './nats-away.js';
import { ensureStreams } from './streams.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));

it.skipIf(binary === undefined)(
  'tells a read that nobody answers as one to try again',
  async () => {
    const nats = await startNats(binary ?? '');
    const connection = await connectNats({ servers: nats.url, name: 'test' });
    const kv = await new Kvm(jetstream(connection, { timeout: 300 })).create('b');
    await nats.stop();
    const reason: unknown = await kv.get('k').catch((error: unknown) => error);
    expect(natsAwayAsUnavailable(reason)).toMatchObject({
      code: 'NATS_UNAVAILABLE',
      kind: 'unavailable',
      cause: reason,
    });
    await connection.close();
  },
);

it.skipIf(binary === undefined)(
  'waits for a cluster that takes connections and has no leader yet, and says so when there is none in time',
  async () => {
    const [one = '', two = ''] = await natsClusterConfigs(2);
    const first = await startNats(binary ?? '', one);
    const connection = await connectNats({ servers: first.url, name: 'test' });
    const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 300 });
    await expect(onceNatsAnswers(() => manager.getAccountInfo(), 700)).rejects.toMatchObject({
      code: 'NATS_UNAVAILABLE',
    });
    let tries = 0;
    const made = onceNatsAnswers(() => {
      tries += 1;
      return ensureStreams(connection);
    }, 60_000);
    await expect.poll(() => tries, { timeout: 20_000 }).toBeGreaterThan(1);
    const second = await startNats(binary ?? '', two);
    await made;
    expect((await manager.streams.names().next()).length).toBeGreaterThan(0);
    await connection.close();
    await Promise.all([first.stop(), second.stop()]);
  },
  60_000,
);

it('takes what JetStream says without a leader for one to try again, and no other answer of it', () => {
  const answer = (code: number, err_code: number, description: string) =>
    new JetStreamApiError({ code, err_code, description });
  const leaderless = answer(503, 10008, 'JetStream system temporarily unavailable');
  expect(natsAwayAsUnavailable(leaderless)).toMatchObject({
    code: 'NATS_UNAVAILABLE',
    message: expect.stringContaining('temporarily unavailable') as string,
  });
  const full = answer(500, 10047, 'insufficient storage resources available');
  expect(natsAwayAsUnavailable(full)).toBe(full);
});

it('leaves what is no fault of NATS as it is', () => {
  const reason = new TypeError('broken');
  expect(isNatsAway(reason)).toBe(false);
  expect(natsAwayAsUnavailable(reason)).toBe(reason);
  expect(natsAwayAsUnavailable('text')).toBe('text');
});
