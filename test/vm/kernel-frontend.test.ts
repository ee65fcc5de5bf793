import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findTargetSocket } from '@lariat/cli';
import { frontendHostNqn, volumeNqn } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from '../e2e/e2e-cluster.js';
import { lineWriter } from '../e2e/line-writer.js';
import { GuestDevices } from './guest-devices.js';
import { makeDataDisk } from './data-disk.js';
import { Guest } from './guest/guest.js';
import { guestImage } from './guest/guest-image.js';
import type { RunningCommand } from './guest/guest-commands.js';
import { whyNoGuest } from './shared-guest.js';

const missing = whyNoGuest();
const SIZE_BYTES = 32 * MIB;
const SOON_MS = 120_000;
/** In a guest, with others at work on the machine. */
const LONG_MS = 600_000;
/** Named as ours are, and of nobody that Lariat knows of. */
const STRANGER = 'vol-000000000000';

const WRITER = lineWriter(20);

describe.skipIf(missing !== undefined)(
  `a volume as a device of a real kernel (${missing ?? 'everything is here'})`,
  () => {
    let e2e: E2eCluster;
    let folder: string;
    let guest: Guest;
    let devices: GuestDevices;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'lariat-vm-disk-'));
      const disk = await makeDataDisk(folder, 64);
      e2e = await startE2e({ nodes: 1, diskSizeBytes: 512 * MIB });
      const image = await guestImage();
      if (typeof image === 'string') throw new Error(image);
      await GuestDevices.build();
      guest = await Guest.boot(image, { disks: [disk] });
      devices = new GuestDevices(guest);
      await devices.mountJournal();
      await makeStrangers();
    }, LONG_MS);
    afterAll(async () => {
      await guest.stop();
      await e2e.stop();
      await rm(folder, { recursive: true });
    }, LONG_MS);

    const exec = (...argv: [string, ...string[]]): Promise<string> => guest.commands.run(argv);
    const sh = (script: string): Promise<string> => exec('/bin/bash', '-c', script);
    const devicePath = (volume: string): string => `/dev/lariat/${volume}`;
    const mappedDevices = async (): Promise<readonly string[]> =>
      (await exec('/usr/sbin/dmsetup', 'info', '-c', '--noheadings', '-o', 'name,uuid,minor'))
        .split('\n')
        .filter((line) => line.includes(':'));
    const oursOf = async (volume: string): Promise<readonly string[]> =>
      (await mappedDevices()).filter((line) => line.includes(volume));
    const connections = async (): Promise<readonly string[]> =>
      (await sh('ls /sys/class/nvme')).split('\n').filter((name) => name !== '');

    /** A device with a name like ours, one with a uuid like ours, and a node in our folder. */
    async function makeStrangers(): Promise<void> {
      const create = (name: string, uuid: string) =>
        exec('/usr/sbin/dmsetup', 'create', name, '--uuid', uuid, '--table', '0 2048 zero');
      await create(`lariat-${STRANGER}.1.1`, 'SOMEBODY-1');
      await create('somebody', `LARIAT-${STRANGER}-1.1`);
      await sh(`mkdir -p /dev/lariat && ln -s /dev/null ${devicePath(STRANGER)}`);
    }
    async function expectStrangersUntouched(): Promise<void> {
      expect((await mappedDevices()).filter((line) => line.includes(STRANGER))).toHaveLength(2);
      expect(await exec('/usr/bin/readlink', devicePath(STRANGER))).toBe('/dev/null\n');
    }

    interface Exported {
      readonly id: string;
      readonly attach: (epoch: number) => Promise<string>;
    }
    async function namespaceUuid(volume: string): Promise<string> {
      const socketPath = await findTargetSocket(e2e.cluster.paths.node('n1'));
      const client = await SpdkClient.connect({ socketPath: socketPath ?? '' });
      try {
        const subsystems = await new Spdk(client).nvmf.getSubsystems();
        const subsystem = subsystems.find(({ nqn }) => nqn === volumeNqn(volume));
        return subsystem?.namespaces[0]?.uuid ?? '';
      } finally {
        client.close();
      }
    }
    /** A volume of the cluster on the host, for the host that the guest is to it: at each epoch another one. */
    async function exported(name: string): Promise<Exported> {
      const { client } = e2e;
      const { id } = await client.request('volume.create', {
        ...{ name, sizeBytes: SIZE_BYTES, replicas: 1 },
      });
      return {
        id,
        attach: async (epoch) => {
          if (epoch > 1) await client.request('volume.detach', { volume: name });
          const { attachment } = await client.request('volume.attach', {
            ...{ volume: name, node: 'n1', frontend: 'nvmf' },
          });
          expect(attachment).toMatchObject({ epoch, hostNqns: [frontendHostNqn(id, epoch)] });
          const endpoint = attachment?.endpoint ?? '';
          const uuid = await namespaceUuid(id);
          // As a saga does: a program that was too slow for its deadline is a reason to ask again.
          return until(`${id} to be attached`, SOON_MS, async () => {
            const answer = await devices.attach(id, uuid, epoch, endpoint);
            if (answer['code'] === 'PROGRAM_LATE') return undefined;
            expect(answer).toEqual({ node: devicePath(id) });
            return devicePath(id);
          });
        },
      };
    }
    async function remove(volume: string): Promise<void> {
      await e2e.client.request('volume.detach', { volume }, { timeoutMs: SOON_MS });
      await e2e.client.request('volume.delete', { volume }, { timeoutMs: SOON_MS });
    }
    async function mountNew(device: string, at: string): Promise<void> {
      await exec('/usr/sbin/mkfs.ext4', '-q', device);
      await exec('/usr/bin/mkdir', '-p', at);
      await exec('/usr/bin/mount', device, at);
    }
    /** A program that was too slow for its deadline is why a release is asked for again, as a saga does. */
    const released = (volume: string): Promise<true> =>
      until(`${volume} to be released`, SOON_MS, async () => {
        const answer = await devices.release(volume, 'unused');
        if (answer['code'] === 'PROGRAM_LATE') return undefined;
        expect(answer).toEqual({ left: [] });
        return true;
      });
    const startWriter = (file: string): Promise<RunningCommand> =>
      guest.commands.start([process.execPath, '-e', WRITER, file], { timeoutMs: LONG_MS });
    const sizeOf = async (file: string): Promise<number> =>
      Number(await sh(`stat -c %s ${file} 2>/dev/null || echo 0`));
    const grows = async (file: string): Promise<void> => {
      const before = await sizeOf(file);
      await until('the writer to go on', SOON_MS, async () =>
        (await sizeOf(file)) > before ? true : undefined,
      );
    };

    it(
      'goes on as the same device when its target is killed, its connection lost, and its volume grown',
      async () => {
        const { id, attach } = await exported('v');
        const device = await attach(1);
        await mountNew(device, '/mnt/v');
        const before = await oursOf(id);
        expect(before).toHaveLength(1);
        expect(before[0]).toContain(`LARIAT-${id}-1.1`);
        const writer = await startWriter('/mnt/v/lines');
        await grows('/mnt/v/lines');
        await e2e.cluster.kill('n1/target');
        await grows('/mnt/v/lines');
        expect(await devices.repair(id)).toEqual({ unsettled: [] });
        expect(await oursOf(id)).toEqual(before);

        await e2e.client.request('volume.expand', { volume: 'v', sizeBytes: 2 * SIZE_BYTES });
        await until('the device to have grown', SOON_MS, async () => {
          await devices.repair(id);
          const bytes = Number(await exec('/usr/sbin/blockdev', '--getsize64', device));
          return bytes === 2 * SIZE_BYTES ? true : undefined;
        });
        await exec('/usr/sbin/resize2fs', device);
        await grows('/mnt/v/lines');

        const [{ users }, refused] = [await devices.users(id), await devices.release(id, 'unused')];
        expect(users).toContainEqual(expect.stringContaining('mounted on /mnt/v'));
        expect(refused).toMatchObject({ code: 'DEVICE_BUSY' });
        await writer.signal('TERM');
        const { exitCode, stdout } = await writer.done;
        expect(exitCode).toBe(0);
        await exec('/usr/bin/sync');

        const [controller = ''] = await connections();
        await exec('/usr/sbin/nvme', 'disconnect', `--device=${controller}`);
        expect(await devices.repair(id)).toEqual({ unsettled: [] });
        expect(await oursOf(id)).toEqual(before);
        await sh('echo 3 > /proc/sys/vm/drop_caches');
        const lines = (await exec('/bin/cat', '/mnt/v/lines')).trimEnd().split('\n');
        expect(lines).toEqual(Array.from({ length: Number(stdout) }, (_, at) => `line ${at}`));

        await exec('/usr/bin/umount', '/mnt/v');
        await released(id);
        expect(await oursOf(id)).toEqual([]);
        expect(await connections()).toEqual([]);
        await expectStrangersUntouched();
        await remove('v');
      },
      LONG_MS,
    );

    it(
      'gives errors when it is forced out on a dead path, and its end does not touch the one that follows',
      async () => {
        const { id, attach } = await exported('w');
        await mountNew(await attach(1), '/mnt/w');
        const writer = await startWriter('/mnt/w/lines');
        await grows('/mnt/w/lines');
        await e2e.cluster.stopNode('n1');
        const [old = ''] = await oursOf(id);
        expect(await devices.release(id, 'forced')).toEqual({ left: [`${id}.1.1`] });
        expect((await writer.done).exitCode).not.toBe(0);
        expect(await exec('/usr/sbin/dmsetup', 'table', '--uuid', `LARIAT-${id}-1.1`)).toContain(
          'error',
        );
        expect(await connections()).toEqual([]);
        expect((await guest.commands.exec(['/bin/ls', devicePath(id)])).exitCode).not.toBe(0);

        await e2e.cluster.startNode('n1');
        await until('the volume to be served again', SOON_MS, async () =>
          (await e2e.client.request('node.get', { node: 'n1' })).state === 'ready'
            ? true
            : undefined,
        );
        const device = await attach(2);
        expect(await oursOf(id)).toHaveLength(2);
        await exec('/usr/bin/umount', '/mnt/w');
        await devices.repair(id);
        const left = await oursOf(id);
        expect(left).toHaveLength(1);
        expect(left).not.toContain(old);
        await exec('/usr/bin/mount', device, '/mnt/w');
        expect(await exec('/bin/cat', '/mnt/w/lines')).toContain('line 0\n');
        await exec('/usr/bin/umount', '/mnt/w');
        await released(id);
        await expectStrangersUntouched();
        await remove('w');
      },
      LONG_MS,
    );

    it(
      'is there again after a reset of the machine, with what was on it',
      async () => {
        const { id, attach } = await exported('x');
        const device = await attach(1);
        const copy = ['if=/usr/bin/bash', `of=${device}`, 'bs=64k', 'count=8', 'conv=fsync'];
        await exec('/usr/bin/dd', ...copy);
        const read = (): Promise<string> => sh(`head -c 524288 ${device} | sha256sum`);
        const before = await read();
        await guest.reset();
        await devices.mountJournal();
        expect(await devices.repair(id)).toEqual({ unsettled: [] });
        expect(await read()).toBe(before);
        await released(id);
        expect(await oursOf(id)).toEqual([]);
        await remove('x');
      },
      LONG_MS,
    );
  },
);
