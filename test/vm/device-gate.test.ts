import { frontendHostNqn, volumeNqn } from '@lariat/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { checksum } from '../contract/support/pattern.js';
import { stockSoftTarget } from '../contract/support/target-kind.js';
import type { TargetProcess } from '../contract/support/target-process.js';
import { until } from '../e2e/e2e-cluster.js';
import { type Answer, GuestDevices } from './guest-devices.js';
import type { GuestCommands } from './guest/guest-commands.js';
import { openSharedGuest, whyNoGuest } from './shared-guest.js';
import { VERIFIED, VerifiedLoad } from './verified-load.js';

const missing = whyNoGuest();
const SIZE_MIB = 8;
const VOLUME = 'vol-0123456789ab';
const NQN = volumeNqn(VOLUME);
const RAID_UUID = '6c1e7a40-8f5d-4f0c-9d7a-2f4c8a1b3e55';
const HOST = frontendHostNqn(VOLUME, 1);
const READER = 'nqn.2026-01.io.lariat:reader';
const SOON_MS = 300_000;
const LONG_MS = 1_200_000;
/** Longer than anything here takes. */
const LONG_GATE_MS = LONG_MS;
const SHORT_GATE_MS = 15_000;

/** docs/adr/0039 on a real kernel: each command of the agent is a process that is killed when it has answered. */
describe.skipIf(missing !== undefined)(
  `the gate of a volume's device, on a target with stock methods (${missing ?? 'everything is here'})`,
  () => {
    let lab: Lab;
    let target: TargetProcess;
    let guest: GuestCommands;
    let devices: GuestDevices;
    let load: VerifiedLoad;
    let legs: string[];
    let device: string;
    let before: string;

    beforeAll(async () => {
      lab = await Lab.open(stockSoftTarget);
      target = await lab.startTarget();
      await target.makeStore();
      legs = [await target.createLvol('a', SIZE_MIB), await target.createLvol('b', SIZE_MIB)];
      await makeRaid();
      await target.exportBdev(NQN, 'volume', HOST);
      await GuestDevices.build();
      guest = await openSharedGuest();
      devices = new GuestDevices({ commands: guest });
      await devices.prepare();
      await devices.refuseDiscards();
      const endpoint = `nvme+tcp://127.0.0.1:${target.port}/${NQN}`;
      await done('attach', () => devices.attach(VOLUME, RAID_UUID, 1, endpoint));
      device = (await guest.run(['/usr/bin/readlink', `/dev/lariat/${VOLUME}`])).trim();
      before = await mapped();
      load = await VerifiedLoad.start(guest, `/dev/lariat/${VOLUME}`, 2, {
        ...{ timeoutMs: 3 * LONG_MS, writesPerSecond: 20 },
      });
      await load.expectWrites(written);
    }, LONG_MS);
    afterAll(async () => {
      await guest?.exec(['/usr/bin/pkill', 'fio']);
      await done('release', () => devices.release(VOLUME, 'forced'));
      guest?.close();
      await lab?.close();
    }, LONG_MS);

    /** A program that was too slow for its deadline is a reason to ask again, as a saga does. */
    const done = (what: string, command: () => Promise<Answer>): Promise<Answer> =>
      until(`${what} to be done`, SOON_MS, async () => {
        const answer = await command();
        const isLate = answer['code'] === 'PROGRAM_LATE' || answer['code'] === 'DEVICE_NOT_MADE';
        if (isLate) process.stderr.write(`${what}: ${JSON.stringify(answer)}\n`);
        return isLate ? undefined : answer;
      });
    const repaired = (): Promise<true> =>
      until('the device to be put right', SOON_MS, async () => {
        const answer = await devices.repair(VOLUME);
        return JSON.stringify(answer) === '{"unsettled":[]}' && !(await isSuspended())
          ? true
          : undefined;
      });

    const makeRaid = (): Promise<void> =>
      target.spdk.raid.create({
        ...{ name: 'volume', raidLevel: 'raid1', uuid: RAID_UUID },
        baseBdevs: legs,
      });
    async function remakeRaid(): Promise<void> {
      await target.spdk.nvmf.removeNs(NQN, 1);
      await target.spdk.raid.delete('volume');
      await makeRaid();
      await target.spdk.nvmf.addNs(NQN, { bdevName: 'volume', nsid: 1, uuid: RAID_UUID });
    }

    const mapped = (): Promise<string> =>
      guest.run([
        ...(['/usr/sbin/dmsetup', 'info', '-c', '--noheadings'] as const),
        ...['-o', 'uuid,name,major,minor'],
      ]);
    const sysfs = async (name: string): Promise<string> =>
      (await guest.run(['/bin/cat', `/sys/block/${device.slice('/dev/'.length)}/${name}`])).trim();
    const isSuspended = async (): Promise<boolean> => (await sysfs('dm/suspended')) === '1';
    const written = {
      device: 'the device of the volume',
      sectorsWritten: async () => Number((await sysfs('stat')).split(/\s+/)[6]),
    };
    const goesOn = async (): Promise<void> => {
      await load.expectWrites(written);
      expect(load.hasEnded()).toBe(false);
      expect(await mapped()).toBe(before);
      expect(await sysfs('queue/discard_max_bytes')).toBe('0');
    };

    it(
      'holds what is written while a leg joins by a raid that is made anew, and the same device goes on',
      async () => {
        const closed = () => devices.close(VOLUME, 'g1', LONG_GATE_MS);
        expect(await done('close', closed)).toEqual({ closed: true });
        expect(await isSuspended()).toBe(true);
        const point = await target.spdk.lvol.snapshot(legs[0] ?? '', 'point');
        const leg = await target.spdk.lvol.clone(point, 'c');
        // Another life of the agent leaves it alone: its time has not run out.
        expect(await devices.repair(VOLUME)).toEqual({ unsettled: [] });
        expect(await isSuspended()).toBe(true);
        await done('cut-off', () => devices.cutOff(VOLUME));
        legs.push(leg);
        await remakeRaid();
        expect(await done('open', () => devices.open(VOLUME, 'g1'))).toEqual({ held: true });
        await repaired();
        await goesOn();
      },
      LONG_MS,
    );

    it(
      'lets go by the next life of an agent that was killed behind it, before anything had changed',
      async () => {
        const closed = () => devices.close(VOLUME, 'g2', SHORT_GATE_MS);
        await done('close', closed);
        await repaired();
        await goesOn();
        expect(await devices.open(VOLUME, 'g2')).toEqual({ held: false });
      },
      LONG_MS,
    );

    it(
      'lets go over the new path by the next life of one that was killed when all beneath was anew',
      async () => {
        const closed = () => devices.close(VOLUME, 'g3', SHORT_GATE_MS);
        await done('close', closed);
        await done('cut-off', () => devices.cutOff(VOLUME));
        await remakeRaid();
        expect(await isSuspended()).toBe(true);
        await repaired();
        await goesOn();
      },
      LONG_MS,
    );

    it(
      'has lost nothing: what was written is there, and all legs are the same',
      async () => {
        expect(await load.stop()).toBe(VERIFIED);
        expect(await done('release', () => devices.release(VOLUME, 'unused'))).toEqual({
          left: [],
        });
        expect((await mapped()).trim()).toBe('No devices found');
        await target.spdk.nvmf.deleteSubsystem(NQN);
        await target.spdk.raid.delete('volume');
        const sums = new Set<string>();
        for (const [index, leg] of legs.entries()) {
          const nqn = `nqn.2026-01.io.lariat:leg-${index}`;
          await target.exportBdev(nqn, leg, READER);
          const { device: seen, close } = await connectNamespace(target.port, nqn, READER);
          sums.add(await checksum(seen));
          await close();
        }
        expect(legs).toHaveLength(3);
        expect(sums.size).toBe(1);
      },
      LONG_MS,
    );
  },
);
