import { join } from 'node:path';
import { connectNats } from '@lariat/messaging';
import { type TestNats, findNatsBinary, startNats } from '@lariat/testing';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClaimantState, SubjectClaims } from './subject-claims.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));

describe.skipIf(binary === undefined)('claims of a subject', () => {
  let nats: TestNats;
  let connection: NatsConnection;
  let claims: SubjectClaims;
  let nowMs = 0;
  const states = new Map<string, ClaimantState>();
  const claim = (subject: string, operation: string): Promise<string> =>
    claims.claim(subject, operation, async (other) => states.get(other) ?? 'unknown');

  beforeAll(async () => {
    nats = await startNats(binary ?? '');
    connection = await connectNats({ servers: nats.url, name: 'claims' });
    claims = await SubjectClaims.open(connection, { nowMs: () => nowMs, monotonicMs: () => nowMs });
  });
  afterAll(async () => {
    await connection.close();
    await nats.stop();
  });

  it('go to one of many that ask at the same moment', async () => {
    const operations = Array.from({ length: 50 }, (_, index) => `op-${index}`);
    for (const operation of operations) states.set(operation, 'running');
    const holders = await Promise.all(operations.map((operation) => claim('v/one', operation)));
    expect(new Set(holders).size).toBe(1);
    expect(operations).toContain(holders[0]);
  });

  it('are had again by whoever has it, and by another when its operation has ended', async () => {
    states.set('a', 'running');
    expect(await claim('disk/n1//dev/disk by "id"', 'a')).toBe('a');
    expect(await claim('disk/n1//dev/disk by "id"', 'a')).toBe('a');
    expect(await claim('disk/n1//dev/disk by "id"', 'b')).toBe('a');
    states.set('a', 'ended');
    expect(await claim('disk/n1//dev/disk by "id"', 'b')).toBe('b');
  });

  it('are looked at anew by an instance that remembers one of its own', async () => {
    const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
    const others = await SubjectClaims.open(connection, clock);
    const stateOf = async (operation: string): Promise<ClaimantState> =>
      states.get(operation) ?? 'unknown';
    states.set('c', 'running');
    expect(await claim('v/moved', 'c')).toBe('c');
    states.set('c', 'ended');
    states.set('d', 'running');
    expect(await others.claim('v/moved', 'd', stateOf)).toBe('d');
    expect(await claim('v/moved', 'e')).toBe('d');
    states.set('d', 'ended');
    expect(await claim('v/moved', 'e')).toBe('e');
  });

  it('wait for an operation that is being put on record, and not for one that never will be', async () => {
    expect(await claim('v/late', 'late')).toBe('late');
    const asked = claim('v/late', 'other');
    states.set('late', 'running');
    expect(await asked).toBe('late');
    expect(await claim('v/dead', 'dead')).toBe('dead');
    nowMs += 6_000;
    expect(await claim('v/dead', 'other')).toBe('other');
  });
});
