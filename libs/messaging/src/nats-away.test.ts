import { join } from 'node:path';
import { findNatsBinary, startNats } from '@lariat/testing';
import { jetstream } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { expect, it } from 'vitest';
import { connectNats } from './connection.js';
import { isNatsAway, natsAwayAsUnavailable } from './nats-away.js';

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

it('leaves what is no fault of NATS as it is', () => {
  const reason = new TypeError('broken');
  expect(isNatsAway(reason)).toBe(false);
  expect(natsAwayAsUnavailable(reason)).toBe(reason);
  expect(natsAwayAsUnavailable('text')).toBe('text');
});
