import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHECKOUT, NbdClient } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { LariatClient, connectNats } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LOADS, type NbdPeer, fio, has, startPeer } from './fio.js';

const run = promisify(execFile);
const lariat = join(CHECKOUT, 'lariat');
const SIZE_BYTES = 256 * MIB;
const SECONDS = 4;
const PEERS = (['nbdkit', 'qemu-nbd'] as const).filter(has);
/** Of the first peer's I/Os per second: what a single local replica aims at. */
const AIMS: Readonly<Record<string, number>> = {
  randread: 0.6,
  randwrite: 0.6,
  read: 0.7,
  write: 0.7,
};

const print = (line: string): boolean => process.stderr.write(`${line}\n`);

/** All of it written once, so that no side is timed while it allocates. */
async function fill(uri: string): Promise<void> {
  const device = await NbdClient.connect(uri);
  await device.writeAll(0, Buffer.alloc(SIZE_BYTES, 0x5a));
  await device.close();
}

describe.skipIf(!has('fio') || PEERS.length === 0)(
  'I/O through the nbd frontend, against other NBD servers on the same file system (needs fio, and nbdkit or qemu-nbd)',
  () => {
    let folder: string;
    let connection: NatsConnection;
    let client: LariatClient;
    const peers: NbdPeer[] = [];
    const measured = new Map<string, number>();

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'lariat-io-'));
      await run(lariat, [
        'up',
        '--nodes',
        '3',
        '--data',
        folder,
        '--disk-size',
        '4GiB',
        '--detach',
      ]);
      const { stdout } = await run(lariat, ['status', '--data', folder, '--json']);
      const { natsUrl } = JSON.parse(stdout) as { natsUrl: string };
      connection = await connectNats({
        ...{ servers: natsUrl, name: 'bench', role: { kind: 'admin' } },
        access: { credentials: join(folder, 'credentials') },
      });
      client = new LariatClient({ connection, actor: 'bench' });
      for (const name of PEERS) {
        const file = join(folder, `${name}.img`);
        await run('truncate', ['-s', String(SIZE_BYTES), file]);
        const peer = await startPeer(name, file, join(folder, `${name}.sock`));
        peers.push(peer);
        await fill(peer.uri);
      }
    }, 120_000);
    afterAll(async () => {
      await Promise.all(peers.map((peer) => peer.stop()));
      await connection.close();
      await run(lariat, ['down', '--data', folder]);
      rmSync(folder, { recursive: true, force: true });
    });

    const attach = async (name: string, replicas: number): Promise<string> => {
      const volume = await client.request('volume.create', {
        name,
        sizeBytes: SIZE_BYTES,
        replicas,
      });
      const node = volume.replicas[0]?.node ?? '';
      const { attachment } = await client.request('volume.attach', {
        volume: name,
        node,
        frontend: 'nbd',
      });
      const uri = attachment?.endpoint ?? '';
      await fill(uri);
      return uri;
    };

    it.each(LOADS)('$name: one local replica', async (load) => {
      const uri = measured.size === 0 ? await attach('one', 1) : await endpointOf('one');
      const rates: string[] = [];
      const own = await fio(uri, load, SECONDS);
      measured.set(load.rw, own);
      for (const peer of peers) {
        const theirs = await fio(peer.uri, load, SECONDS);
        rates.push(`${(own / theirs).toFixed(2)} of ${peer.name} (${theirs.toFixed(0)}/s)`);
      }
      print(
        `${load.name}: ${own.toFixed(0)}/s, ${rates.join(', ')} (aim: at least ${AIMS[load.rw]} of nbdkit)`,
      );
      expect(own).toBeGreaterThan(0);
    });

    it.each(LOADS)('$name: three replicas, two of them remote', async (load) => {
      await client.request('volume.detach', { volume: 'one' }).catch(() => undefined);
      const { volumes } = await client.request('volume.list', {});
      const uri = volumes.some(({ name }) => name === 'three')
        ? await endpointOf('three')
        : await attach('three', 3);
      const own = await fio(uri, load, SECONDS);
      const single = measured.get(load.rw) ?? Number.NaN;
      const aim = load.rw.endsWith('read') ? 'at least 0.5' : 'at least 0.33';
      print(
        `${load.name}, three replicas: ${own.toFixed(0)}/s, ${(own / single).toFixed(2)} of one replica (aim: ${aim})`,
      );
      expect(own).toBeGreaterThan(0);
    });

    const endpointOf = async (volume: string): Promise<string> =>
      (await client.request('volume.get', { volume })).attachment?.endpoint ?? '';
  },
);
