import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Lab } from './support/lab.js';
import { connectNamespace } from './support/nvme-host.js';
import { pattern, readAt, sha256, writeAt } from './support/pattern.js';
import { stockSoftTarget, TARGET_KINDS } from './support/target-kind.js';
import type { TargetProcess } from './support/target-process.js';

const MIB = 1024 * 1024;
const SIZE_MIB = 16;
const USER_HOST = 'nqn.2026-01.io.lariat:user';
const VOLUME_NQN = 'nqn.2026-01.io.lariat:volume';
const RAID_UUID = '6c1e7a40-8f5d-4f0c-9d7a-2f4c8a1b3e55';

/** What docs/adr/0039 relies on: nothing here but stock methods. */
describe.each([...TARGET_KINDS, stockSoftTarget])(
  '$name: a raid that is made anew with one more leg beneath its export',
  (kind) => {
    let lab: Lab;
    let target: TargetProcess;
    let legs: readonly string[];

    beforeEach(async (context) => {
      if (kind.missing !== undefined) return context.skip(kind.missing);
      lab = await Lab.open(kind);
      target = await lab.startTarget();
      await target.makeStore();
      legs = [
        await target.createLvol('a', SIZE_MIB),
        await target.createLvol('b', SIZE_MIB),
        await target.createLvol('c', SIZE_MIB),
      ];
    });
    afterEach(async (context) => {
      if (kind.missing === undefined) await lab.close(context);
    });

    const make = (bases: readonly string[]): Promise<void> =>
      target.spdk.raid.create({
        name: 'volume',
        ...(bases.length === 1 ? { raidLevel: 'raid0', stripSizeKib: 64 } : { raidLevel: 'raid1' }),
        baseBdevs: bases,
        uuid: RAID_UUID,
      });
    const connect = async () => {
      const connection = await connectNamespace(target.port, VOLUME_NQN, USER_HOST);
      lab.onClose(connection.close);
      return connection;
    };
    const remake = async (bases: readonly string[]): Promise<void> => {
      await target.spdk.nvmf.removeNs(VOLUME_NQN, 1);
      await target.spdk.raid.delete('volume');
      await make(bases);
      const namespace = { bdevName: 'volume', nsid: 1, uuid: RAID_UUID };
      expect(await target.spdk.nvmf.addNs(VOLUME_NQN, namespace)).toBe(1);
    };

    test.each([
      { what: 'one leg gets a second', before: 1 },
      { what: 'two legs get a third', before: 2 },
    ])(
      '$what: the same volume goes on under its address, and the new leg has all that follows',
      async ({ before }) => {
        await make(legs.slice(0, before));
        await target.exportBdev(VOLUME_NQN, 'volume', USER_HOST);
        const first = await connect();
        const old = pattern(MIB);
        await writeAt(first.device, 0, old);
        await first.close();

        await remake(legs.slice(0, before + 1));
        expect(await target.spdk.raid.getBdevs()).toMatchObject([
          { name: 'volume', uuid: RAID_UUID, state: 'online' },
        ]);
        expect(await target.spdk.bdev.getBdev('volume')).toMatchObject({
          uuid: RAID_UUID,
          sizeBytes: SIZE_MIB * MIB,
        });
        const second = await connect();
        expect(sha256(await readAt(second.device, 0, MIB))).toBe(sha256(old));
        const fresh = pattern(MIB);
        await writeAt(second.device, 4 * MIB, fresh);
        await second.close();
        await target.spdk.nvmf.deleteSubsystem(VOLUME_NQN);
        await target.spdk.raid.delete('volume');
        await target.exportBdev(VOLUME_NQN, legs[before] ?? '', USER_HOST);
        const leg = await connect();
        expect(sha256(await readAt(leg.device, 4 * MIB, MIB))).toBe(sha256(fresh));
      },
    );

    test('waits for a leg that is not there, so that who makes it has to look', async () => {
      await make([legs[0] ?? '', 'nobody']);
      expect(await target.spdk.raid.getBdevs()).toMatchObject([{ state: 'configuring' }]);
      await target.spdk.raid.delete('volume');
      expect(await target.spdk.raid.getBdevs()).toEqual([]);
    });
  },
);
