import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCredentials } from '@lariat/bus';
import { type TestNats, findNatsBinary, natsClusterConfigs, startNats } from '@lariat/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectNats } from './connection.js';

const binary = findNatsBinary(join(import.meta.dirname, '..', '..', '..'));

describe.skipIf(binary === undefined)('a connection to one of two servers of a cluster', () => {
  const servers: TestNats[] = [];
  const credentials = mkdtempSync(join(tmpdir(), 'lariat-credentials-'));

  beforeAll(async () => {
    const [user] = makeCredentials(credentials, [{ kind: 'api' }]);
    for (const config of await natsClusterConfigs(2)) {
      const authorization = `authorization { users: [{ nkey: ${user?.publicKey} }] }`;
      servers.push(await startNats(binary ?? '', config + authorization));
    }
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(credentials, { recursive: true });
  });

  const firstUrl = (): string => servers[0]?.url ?? '';
  const connectKnown = () =>
    connectNats({ servers: firstUrl(), name: 'known', access: { credentials } });
  const told = async (): Promise<number> => {
    const connection = await connectKnown();
    const { length } = connection.info?.connect_urls ?? [];
    await connection.close();
    return length;
  };

  it('is refused by name, not for ever: each server tells of the other, which has not refused yet', async () => {
    await expect.poll(told, { timeout: 10_000 }).toBe(2);
    await expect(connectNats({ servers: firstUrl(), name: 'nobody' })).rejects.toMatchObject({
      code: 'NATS_CREDENTIALS_REFUSED',
    });
  });

  it('goes on with the other when its own ends, though nobody named it', async () => {
    await expect.poll(told, { timeout: 10_000 }).toBe(2);
    const connection = await connectKnown();
    await servers.shift()?.stop();
    const here = (): Promise<string> =>
      connection.flush().then(
        () => connection.info?.server_name ?? '',
        (error: unknown) => String(error),
      );
    await expect.poll(here, { timeout: 10_000 }).toBe('s1');
    await connection.close();
  });
});
