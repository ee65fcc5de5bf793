import { randomBytes } from 'node:crypto';
import { MIB } from '@lariat/kernel';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { readAt, sha256 } from '../contract/support/pattern.js';
import { softTarget } from '../contract/support/target-kind.js';
import type { TargetProcess } from '../contract/support/target-process.js';
import type { GuestCommands } from './guest/guest-commands.js';
import { HOST_ADDRESS } from './guest/guest.js';
import { GUEST_NQN, NvmeConnection } from './nvme-connection.js';
import { openSharedGuest, whyNoGuest } from './shared-guest.js';
import { VERIFIED, VerifiedLoad } from './verified-load.js';

const SIZE_MIB = 400;
const DISK_BYTES = 1024 * MIB;
const NQN = 'nqn.2026-01.io.lariat:volume';
const HOST = 'nqn.2026-01.io.lariat:test';
const MOUNT = '/mnt/volume';

const missing = whyNoGuest();

describe.skipIf(missing !== undefined)(
  `the kernel's NVMe/TCP host on soft-target (${missing ?? 'everything is here'})`,
  () => {
    let guest: GuestCommands;
    let lab: Lab;
    let target: TargetProcess;
    let lvol: string;
    let connection: NvmeConnection;
    beforeAll(async () => {
      guest = await openSharedGuest();
      await guest.run(['mkdir', '-p', MOUNT]);
    });
    afterAll(() => guest.close());
    beforeEach(async () => {
      lab = await Lab.open(softTarget);
      target = await lab.startTarget(DISK_BYTES);
      await target.makeStore();
      lvol = await target.createLvol('volume', SIZE_MIB);
      await target.exportBdev(NQN, lvol, GUEST_NQN);
      connection = await NvmeConnection.open(guest, { port: target.port, nqn: NQN });
    });
    afterEach(async (context) => {
      // A test that failed half-way left it mounted.
      await guest.exec(['umount', '--quiet', MOUNT]);
      await connection.close();
      await lab.close(context);
    });

    /** Clusters of the lvol that hold data. */
    async function allocated(): Promise<number> {
      const [found] = await target.spdk.lvol.getLvols();
      return found?.allocatedClusters ?? Number.NaN;
    }

    it('finds it by discovery, and sees the namespace as it is exported', async () => {
      const log = await guest.run([
        ...(['nvme', 'discover', '--transport=tcp', `--traddr=${HOST_ADDRESS}`] as const),
        ...[`--trsvcid=${target.port}`, `--hostnqn=${GUEST_NQN}`, '--output-format=json'],
      ]);
      const { records } = JSON.parse(log) as { records: readonly Record<string, string>[] };
      expect(records).toContainEqual(
        expect.objectContaining({ trtype: 'tcp', trsvcid: target.port, subnqn: NQN }),
      );
      const { device } = connection;
      expect(await connection.attribute('uuid')).toBe(lvol);
      expect(await connection.attribute('queue/logical_block_size')).toBe('4096');
      // The kernel counts sectors of 512 bytes, whatever the block is.
      expect(await connection.attribute('size')).toBe(String((SIZE_MIB * MIB) / 512));
      const controller = JSON.parse(
        await guest.run(['nvme', 'id-ctrl', device, '--output-format=json']),
      ) as Record<string, unknown>;
      expect(controller).toMatchObject({ subnqn: NQN });
      expect(String(controller['mn']).trim()).toBe('Contract');
      expect(await connection.state()).toBe('live');
    });

    it('writes what another host reads, and reads what another host wrote', async () => {
      const data = randomBytes(3 * MIB);
      const { device } = connection;
      await guest.run(['dd', `of=${device}`, 'bs=1M', 'iflag=fullblock', 'seek=5', 'conv=fsync'], {
        input: data,
      });
      await target.spdk.nvmf.addHost(NQN, HOST);
      const other = await connectNamespace(target.port, NQN, HOST);
      expect((await readAt(other.device, 5 * MIB, data.length)).equals(data)).toBe(true);
      const back = randomBytes(MIB);
      await other.device.write(9 * MIB, back);
      await other.close();
      const sum = `dd if=${device} iflag=direct bs=1M skip=9 count=1 status=none | sha256sum`;
      expect(await guest.run(['sh', '-c', sum])).toContain(sha256(back));
    });

    it.each([
      { type: 'ext4', make: ['mkfs.ext4', '-q'], check: ['e2fsck', '-f', '-n'] },
      { type: 'xfs', make: ['mkfs.xfs', '-q'], check: ['xfs_repair', '-n'] },
    ] as const)(
      'carries $type: made, filled, trimmed, checked, and the same after a mount anew',
      async ({ type, make, check }) => {
        const { device } = connection;
        await guest.run([...make, device]);
        await guest.run(['mount', '-t', type, device, MOUNT]);
        await guest.run(['dd', 'if=/dev/urandom', `of=${MOUNT}/kept`, 'bs=1M', 'count=8']);
        await guest.run(['dd', 'if=/dev/urandom', `of=${MOUNT}/gone`, 'bs=1M', 'count=24']);
        const sum = await guest.run(['sha256sum', `${MOUNT}/kept`]);
        await guest.run(['sync', '-f', MOUNT]);
        const full = await allocated();
        await guest.run(['rm', `${MOUNT}/gone`]);
        await guest.run(['sync', '-f', MOUNT]);
        expect(await guest.run(['fstrim', '-v', MOUNT])).toMatch(/\d+ bytes\) trimmed/);
        expect(await allocated()).toBeLessThanOrEqual(full - 20);
        await guest.run(['umount', MOUNT]);
        await guest.run([...check, device]);
        await guest.run(['mount', '-t', type, device, MOUNT]);
        expect(await guest.run(['sha256sum', `${MOUNT}/kept`])).toBe(sum);
        await guest.run(['umount', MOUNT]);
      },
    );

    it('finds every block as it was written, under a random load', async () => {
      const load = await VerifiedLoad.start(guest, connection.device, 24);
      expect(await load.stop()).toBe(VERIFIED);
    });

    it('holds I/O while the target is dead, and goes on with the next one: no error, the same namespace', async () => {
      const load = await VerifiedLoad.start(guest, connection.device, 16);
      await load.expectWrites(connection);
      await target.kill();
      await connection.waitForState('connecting');
      expect(load.hasEnded()).toBe(false);
      await target.restart();
      await target.openDisk();
      await target.exportBdev(NQN, lvol, GUEST_NQN);
      await connection.waitForState('live');
      expect(await connection.attribute('uuid')).toBe(lvol);
      expect(await load.stop()).toBe(VERIFIED);
    });
  },
);
