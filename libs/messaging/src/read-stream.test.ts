import { join } from 'node:path';
import { findNatsBinary, startNats } from '@lariat/testing';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { connectNats } from './connection.js';
import { readStream } from './read-stream.js';

const STREAM = 'LONG';
const LENGTH = 6_000;
const AT_ONCE = 500;
/** Each so many messages one of the subject. */
const EVERY = { often: 100, seldom: 2_500 } as const;

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));

const numbersOf = (subject: string): readonly number[] => {
  const all = Array.from({ length: LENGTH }, (_, index) => index + 1);
  return all.filter((seq) => subject === '>' || subjectOf(seq) === subject);
};
function subjectOf(seq: number): string {
  if (seq === LENGTH - 10) return 'a.once';
  if (seq % EVERY.seldom === 0) return 'a.seldom';
  return seq % EVERY.often === 0 ? 'a.often' : 'a.other';
}

describe.skipIf(binary === undefined)('what a long stream has of a subject', () => {
  let connection: NatsConnection;
  let stop: () => Promise<void>;

  beforeAll(async () => {
    const nats = await startNats(binary ?? '');
    stop = () => nats.stop();
    connection = await connectNats({ servers: nats.url, name: 'test' });
    const { streams } = await jetstreamManager(connection);
    await streams.add({ name: STREAM, subjects: ['a.>'] });
    const js = jetstream(connection);
    for (let seq = 1; seq <= LENGTH; seq += AT_ONCE)
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, index) => js.publish(subjectOf(seq + index), '')),
      );
  }, 60_000);
  afterAll(async () => {
    await connection.close();
    await stop();
  });

  /** The numbers that were read, and how often the server was asked for a message. */
  async function read(
    subject: string,
    after = 0,
  ): Promise<{ readonly found: readonly number[]; readonly asked: number; readonly most: number }> {
    let [asked, under, most] = [0, 0, 0];
    const request = connection.request.bind(connection);
    const spy = vi.spyOn(connection, 'request').mockImplementation(async (...args) => {
      if (!args[0].includes('STREAM.MSG.GET')) return request(...args);
      asked += 1;
      under += 1;
      most = Math.max(most, under);
      return request(...args).finally(() => (under -= 1));
    });
    const found: number[] = [];
    try {
      for await (const { seq } of readStream(connection, STREAM, { subject, after, follow: false }))
        found.push(seq);
    } finally {
      spy.mockRestore();
    }
    return { found, asked, most };
  }

  it('is read with a question a message, many side by side, where there is nothing else', async () => {
    const { found, asked, most } = await read('>');
    expect(found).toEqual(numbersOf('>'));
    expect(asked).toBe(LENGTH);
    expect(most).toBe(16);
  });

  it.each([
    ['none', 'a.nothing', 1],
    // From the beginning to it, itself, and that there is no other.
    ['one near the end', 'a.once', 3],
    ['two', 'a.seldom', 5],
  ])('is found without a question a section: %s', async (_what, subject, most) => {
    const { found, asked } = await read(subject);
    expect(found).toEqual(numbersOf(subject));
    expect(asked).toBeLessThanOrEqual(most);
  });

  it('is read side by side where it comes now and then, with few questions more than there are messages', async () => {
    const { found, asked, most } = await read('a.often');
    expect(found).toEqual(numbersOf('a.often'));
    expect(asked).toBeLessThanOrEqual(found.length + 2 * Math.ceil(LENGTH / 1_024));
    expect(most).toBeGreaterThan(1);
  });

  it('begins after the number that is given', async () => {
    const { found, asked } = await read('a.often', 5_500);
    expect(found).toEqual(numbersOf('a.often').filter((seq) => seq > 5_500));
    expect(asked).toBeLessThanOrEqual(found.length + 2);
  });
});
