import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '@lariat/kernel';
import { type E2eCluster, startE2e, until } from '../e2e/e2e-cluster.js';
import type { GuestCommands } from './guest/guest-commands.js';
import { NvmeConnection, connectionTo } from './nvme-connection.js';
import { openSharedGuest, whyNoGuest } from './shared-guest.js';
import { VERIFIED, VerifiedLoad } from './verified-load.js';

/** What mkfs.xfs asks for at least, and a little. */
const SIZE_BYTES = 320 * MIB;
const MOUNT = '/mnt/of-a-cluster';

const missing = whyNoGuest();

describe.skipIf(missing !== undefined)(
  `a volume of a cluster under the kernel's file systems (${missing ?? 'everything is here'})`,
  () => {
    let guest: GuestCommands;
    let e2e: E2eCluster;
    beforeAll(async () => {
      guest = await openSharedGuest();
      await guest.run(['mkdir', '-p', MOUNT]);
      e2e = await startE2e({ diskSizeBytes: 1024 * MIB });
    });
    afterAll(async () => {
      guest.close();
      await e2e.stop();
    });

    async function connect(volume: string): Promise<NvmeConnection> {
      const attach = { volume, node: 'n1', frontend: 'nvmf' } as const;
      const { attachment } = await e2e.client.request('volume.attach', attach);
      return NvmeConnection.open(guest, connectionTo(attachment));
    }

    async function robustness(volume: string): Promise<string> {
      return (await e2e.client.request('volume.get', { volume })).robustness;
    }

    it.each([
      { type: 'ext4', make: ['mkfs.ext4', '-q'], check: ['e2fsck', '-f', '-n'] },
      { type: 'xfs', make: ['mkfs.xfs', '-q'], check: ['xfs_repair', '-n'] },
    ] as const)(
      'keeps all that is written to $type while a leg dies and is rebuilt',
      async ({ type, make, check }) => {
        const { client, cluster } = e2e;
        await client.request('volume.create', { name: type, sizeBytes: SIZE_BYTES, replicas: 3 });
        const connection = await connect(type);
        try {
          await guest.run([...make, connection.device]);
          await guest.run(['mount', '-t', type, connection.device, MOUNT]);
          const load = await VerifiedLoad.start(guest, `${MOUNT}/load`, 8);
          await load.expectWrites(connection);
          await cluster.killNode('n3');
          await until('the loss of a leg to be on record', 60_000, async () =>
            (await robustness(type)) === 'degraded' ? true : undefined,
          );
          await load.expectWrites(connection);
          await cluster.startNode('n3');
          await until('n3 to be ready', 60_000, async () =>
            (await client.request('node.get', { node: 'n3' })).state === 'ready' ? true : undefined,
          );
          await client.request('replica.rebuild', { volume: type }, { timeoutMs: 120_000 });
          expect(await robustness(type)).toBe('healthy');
          expect(load.hasEnded()).toBe(false);
          expect(await load.stop()).toBe(VERIFIED);
          await guest.run(['umount', MOUNT]);
          await guest.run([...check, connection.device]);
        } finally {
          await guest.exec(['umount', '--quiet', MOUNT]);
          await connection.close();
        }
        await client.request('volume.detach', { volume: type }, { timeoutMs: 60_000 });
        const { replicas } = await client.request('replica.checksum', { volume: type });
        expect(replicas).toHaveLength(3);
        expect(new Set(replicas.map(({ sha256 }) => sha256)).size).toBe(1);
        await client.request('volume.delete', { volume: type });
        expect(await e2e.leftovers(40_000)).toEqual([]);
      },
    );
  },
);
