import { join } from 'node:path';
import { connect } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { FAULT_SUBJECT_PREFIX, natsFaultPoints } from './nats-fault-points.js';
import { findNatsBinary, startNats } from './nats-server.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));

describe.skipIf(binary === undefined)('fault points', () => {
  it('act once when they are armed, after the passes they let go by', async () => {
    const nats = await startNats(binary ?? '');
    const connection = await connect({ servers: nats.url });
    const points = natsFaultPoints(connection, 'proc');
    const ask = async (verb: string, body: object = {}): Promise<unknown> =>
      (
        await connection.request(`${FAULT_SUBJECT_PREFIX}.proc.${verb}`, JSON.stringify(body))
      ).json<unknown>();
    await points.reach('a');
    expect(await ask('arm', { point: 'a', action: 'throw', skip: 1 })).toEqual({
      armed: 'a',
      pid: process.pid,
    });
    await points.reach('a');
    expect(() => points.reach('a')).toThrow("fault point 'a'");
    await points.reach('a');
    await points.reach('b');
    expect(await ask('reached')).toEqual(['a', 'b']);
    await ask('arm', { point: 'b', action: 'throw' });
    await ask('clear');
    await points.reach('b');
    expect(await ask('reached')).toEqual(['b']);
    await connection.close();
    await nats.stop();
  });
});
