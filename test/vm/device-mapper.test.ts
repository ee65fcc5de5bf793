import { MIB } from '@lariat/kernel';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { softTarget } from '../contract/support/target-kind.js';
import type { TargetProcess } from '../contract/support/target-process.js';
import type { GuestCommands } from './guest/guest-commands.js';
import { GUEST_NQN, NvmeConnection } from './nvme-connection.js';
import { openSharedGuest, whyNoGuest } from './shared-guest.js';
import { VERIFIED, VerifiedLoad } from './verified-load.js';

const SIZE_MIB = 8;
const SECTORS = (SIZE_MIB * MIB) / 512;
const ROUNDS = 2;
const DEVICE = 'guest-volume';
const WRITE_ONE_BLOCK = [
  ...(['dd', 'if=/dev/zero', `of=/dev/mapper/${DEVICE}`] as const),
  ...['bs=4k', 'count=1', 'oflag=direct', 'conv=notrunc'],
] as const;

const missing = whyNoGuest();

describe.skipIf(missing !== undefined)(
  `dm-linear on the kernel's NVMe/TCP host (${missing ?? 'everything is here'})`,
  () => {
    let guest: GuestCommands;
    let lab: Lab;
    let target: TargetProcess;
    const connections: NvmeConnection[] = [];
    beforeAll(async () => {
      guest = await openSharedGuest();
      await guest.run(['modprobe', 'dm-mod']);
    });
    afterAll(() => guest.close());
    beforeEach(async () => {
      lab = await Lab.open(softTarget);
      target = await lab.startTarget();
      await target.makeStore();
    });
    afterEach(async (context) => {
      await guest.exec(['dmsetup', 'remove', DEVICE]);
      for (const connection of connections.splice(0)) await connection.close();
      await lab.close(context);
    });

    async function connect(name: string): Promise<NvmeConnection> {
      const nqn = `nqn.2026-01.io.lariat:${name}`;
      await target.exportBdev(nqn, await target.createLvol(name, SIZE_MIB), GUEST_NQN);
      const connection = await NvmeConnection.open(guest, { port: target.port, nqn });
      connections.push(connection);
      return connection;
    }

    async function create(uuid: string, connection: NvmeConnection): Promise<void> {
      const device = ['--uuid', uuid, '--table', table(connection)];
      await guest.run(['dmsetup', 'create', DEVICE, ...device]);
    }

    const table = ({ device }: NvmeConnection): string => `0 ${SECTORS} linear ${device} 0`;

    it('holds writes while it is suspended, and goes on where they were moved to meanwhile: none is lost', async () => {
      let from = await connect('a');
      let to = await connect('b');
      await create('TEST-volume-1', from);
      const load = await VerifiedLoad.start(guest, `/dev/mapper/${DEVICE}`, SIZE_MIB);
      await load.expectWrites(from);
      for (let round = 0; round < ROUNDS; round += 1) {
        await guest.run(['dmsetup', 'suspend', '--noflush', '--nolockfs', DEVICE]);
        expect(await guest.run(['dmsetup', 'info', DEVICE])).toContain('SUSPENDED');
        const held = await from.sectorsWritten();
        await copy(guest, from, to);
        expect(await from.sectorsWritten()).toBe(held);
        await guest.run(['dmsetup', 'reload', DEVICE, '--table', table(to)]);
        await guest.run(['dmsetup', 'resume', DEVICE]);
        [from, to] = [to, from];
      }
      await load.expectWrites(from);
      expect(load.hasEnded()).toBe(false);
      expect(await load.stop()).toBe(VERIFIED);
    });

    it('ends with errors what waits on a dead path that is given up, and takes an error table in its place', async () => {
      const path = await connect('a');
      await create('TEST-volume-2', path);
      await target.kill();
      await path.waitForState('connecting');
      const waiting = await guest.start(WRITE_ONE_BLOCK);
      const suspending = await guest.start([
        'dmsetup',
        'suspend',
        '--noflush',
        '--nolockfs',
        DEVICE,
      ]);
      await path.close();
      connections.splice(0);
      expect((await waiting.done).stderr).toContain('Input/output error');
      expect(await suspending.done).toMatchObject({ exitCode: 0 });
      await guest.run(['dmsetup', 'reload', DEVICE, '--table', `0 ${SECTORS} error`]);
      await guest.run(['dmsetup', 'resume', DEVICE]);
      expect((await guest.exec(WRITE_ONE_BLOCK)).stderr).toContain('Input/output error');
      await guest.run(['dmsetup', 'remove', DEVICE]);
      expect(await guest.run(['sh', '-c', 'ls /sys/class/nvme'])).toBe('');
    });
  },
);

/** What one has, written to the other; both past the page cache, which would answer with what was. */
async function copy(guest: GuestCommands, from: NvmeConnection, to: NvmeConnection): Promise<void> {
  await guest.run([
    ...(['dd', `if=${from.device}`, `of=${to.device}`, 'bs=1M'] as const),
    ...['iflag=direct', 'oflag=direct'],
  ]);
}
