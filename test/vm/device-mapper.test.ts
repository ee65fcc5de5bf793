import { MIB } from '@lariat/kernel';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { checksum } from '../contract/support/pattern.js';
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
const RAID_UUID = '6c1e7a40-8f5d-4f0c-9d7a-2f4c8a1b3e55';
const READER_NQN = 'nqn.2026-01.io.lariat:reader';
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

    it('goes on over a volume whose raid was made anew with one more leg beneath it: none is lost, and all legs are the same', async () => {
      const nqn = 'nqn.2026-01.io.lariat:remade';
      const raid = { name: 'remade', raidLevel: 'raid1', uuid: RAID_UUID } as const;
      const legs = [
        await target.createLvol('leg1', SIZE_MIB),
        await target.createLvol('leg2', SIZE_MIB),
      ];
      await target.spdk.raid.create({ ...raid, baseBdevs: legs });
      await target.exportBdev(nqn, raid.name, GUEST_NQN);
      const before = await NvmeConnection.open(guest, { port: target.port, nqn });
      await create('TEST-volume-2', before);
      const load = await VerifiedLoad.start(guest, `/dev/mapper/${DEVICE}`, SIZE_MIB);
      await load.expectWrites(before);
      // The order of docs/adr/0039.
      await guest.run(['dmsetup', 'suspend', '--noflush', '--nolockfs', DEVICE]);
      const point = await target.spdk.lvol.snapshot(legs[0] ?? '', 'point');
      legs.push(await target.spdk.lvol.clone(point, 'leg3'));
      await before.close();
      await target.spdk.nvmf.removeNs(nqn, 1);
      await target.spdk.raid.delete(raid.name);
      await target.spdk.raid.create({ ...raid, baseBdevs: legs });
      await target.spdk.nvmf.addNs(nqn, { bdevName: raid.name, nsid: 1, uuid: RAID_UUID });
      const after = await NvmeConnection.open(guest, { port: target.port, nqn });
      expect(load.hasEnded()).toBe(false);
      await guest.run(['dmsetup', 'reload', DEVICE, '--table', table(after)]);
      await guest.run(['dmsetup', 'resume', DEVICE]);
      await load.expectWrites(after);
      expect(await load.stop()).toBe(VERIFIED);
      await guest.run(['dmsetup', 'remove', DEVICE]);
      await after.close();
      await target.spdk.nvmf.deleteSubsystem(nqn);
      await target.spdk.raid.delete(raid.name);
      const sums = new Set<string>();
      for (const leg of legs) {
        const legNqn = `${nqn}-${leg}`;
        await target.exportBdev(legNqn, leg, READER_NQN);
        const { device, close } = await connectNamespace(target.port, legNqn, READER_NQN);
        sums.add(await checksum(device));
        await close();
      }
      expect(sums.size).toBe(1);
    });

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
