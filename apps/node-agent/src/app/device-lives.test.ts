import { afterEach, beforeEach, expect, it } from 'vitest';
import { ReconcileCounts, systemClock } from '@lariat/kernel';
import { LmdbJournal } from '../adapters/lmdb/lmdb-journal.js';
import type { OwnedDm, OwnedFrontend } from '../domain/ownership.js';
import { tempDir } from '../testing/fixture.js';
import { DeviceLives, type LifeDriver, withParams } from './device-lives.js';

let dir: ReturnType<typeof tempDir>;
let journal: LmdbJournal;
let devices: DeviceLives;
let counts: ReconcileCounts;
let warnings: string[];
/** What the machine has: names of records whose device is there. */
let made: Set<string>;
/** Users by the name of the device. */
let users: Map<string, string[]>;
/** Names of lives whose path has died. */
let dead: Set<string>;
/** Volumes with which the machine does not do what it is told. */
let stuck: Set<string>;
let looks: number;

beforeEach(() => {
  dir = tempDir();
  journal = new LmdbJournal(dir.path);
  [made, dead, stuck] = [new Set(), new Set(), new Set()];
  users = new Map();
  looks = 0;
  counts = new ReconcileCounts();
  warnings = [];
  const driver: LifeDriver<OwnedDm> = {
    plan: ({ name: volume, epoch, operation, params }, name) => ({
      ...{ kind: 'dm', name, uuid: null, owner: volume, volume, epoch, operation },
      params: {
        ...{ endpoint: params.endpoint, hostNqn: '', node: `/dev/lariat/${volume}` },
        ...{ pointedAt: null, isRemoving: false, leaving: null },
      },
    }),
    look: () => {
      looks += 1;
      return ({ name, params }) => {
        if (params.leaving !== null) return users.has(name) ? 'waiting' : 'unsettled';
        return made.has(name) && !dead.has(name) ? 'settled' : 'unsettled';
      };
    },
    deviceOf: ({ name }) => (made.has(name) ? name : undefined),
    advance: async (record) => {
      const { name, volume, params } = record;
      if (stuck.has(volume)) throw new Error('the machine hangs');
      if (params.leaving === null) {
        if (dead.has(name)) await journal.putOwned(withParams(record, { leaving: 'forced' }));
        else made.add(name);
        return 'stop';
      }
      if (users.has(name)) return 'stop';
      made.delete(name);
      await journal.dropOwned('dm', name);
      return 'stop';
    },
  };
  devices = new DeviceLives({
    ...{ journal, clock: systemClock, counts },
    users: { usersOf: (device) => Promise.resolve(users.get(device) ?? []) },
    log: {
      ...{ info: () => undefined, error: () => undefined },
      warn: (message) => warnings.push(message),
    },
    drivers: { dm: driver, loop: driver as never },
  });
});
afterEach(async () => {
  await journal.close();
  dir.remove();
});

const attached = async (volume: string, epoch: number): Promise<void> => {
  const frontend: OwnedFrontend = {
    ...{ kind: 'frontend', name: volume, uuid: null, owner: volume, volume, operation: 'op' },
    epoch,
    params: {
      endpoint: { nqn: 'nqn', traddr: '127.0.0.1', trsvcid: '4420', uuid: 'u' },
      ...{ frontend: 'kernel', socketPath: null, process: null },
    },
  };
  await journal.putOwned(frontend);
};
const names = (): readonly string[] => journal.ownedOfKind('dm').map(({ name }) => name);

it('is on record before it is made, and known by volume, epoch and life', async () => {
  await attached('vol-a', 3);
  stuck.add('vol-a');
  await expect(devices.ensure('vol-a')).rejects.toThrow('the machine hangs');
  expect(names()).toEqual(['vol-a.3.1']);
  expect(made).toEqual(new Set());
  stuck.clear();
  expect(await devices.ensure('vol-a')).toBe('/dev/lariat/vol-a');
  expect(await devices.ensure('vol-a')).toBe('/dev/lariat/vol-a');
  expect(names()).toEqual(['vol-a.3.1']);
});

it('is not released while it is used, and says by what', async () => {
  await attached('vol-a', 1);
  await devices.ensure('vol-a');
  users.set('vol-a.1.1', ['mounted on /mnt']);
  await expect(devices.release('vol-a', 'unused')).rejects.toMatchObject({
    code: 'DEVICE_BUSY',
    message: expect.stringContaining('vol-a.1.1: mounted on /mnt'),
  });
  expect(journal.owned('dm', 'vol-a.1.1')?.params.leaving).toBeNull();
  users.clear();
  await devices.release('vol-a', 'unused');
  expect(names()).toEqual([]);
});

it('is forced out beneath its users, and waits for nobody', async () => {
  await attached('vol-a', 1);
  await devices.ensure('vol-a');
  users.set('vol-a.1.1', ['open in dd (1)']);
  await devices.release('vol-a', 'forced');
  await journal.dropOwned('frontend', 'vol-a');
  expect(journal.owned('dm', 'vol-a.1.1')?.params.leaving).toBe('forced');
  expect(devices.unsettled()).toEqual([]);
  users.clear();
  expect(devices.unsettled()).toEqual(['vol-a']);
  await devices.repair('vol-a');
  expect(names()).toEqual([]);
});

it('of a later epoch is another one, beside the old that is still used', async () => {
  await attached('vol-a', 1);
  await devices.ensure('vol-a');
  users.set('vol-a.1.1', ['mounted on /mnt']);
  await attached('vol-a', 2);
  await devices.ensure('vol-a');
  expect(names()).toEqual(['vol-a.1.1', 'vol-a.2.1']);
  expect(made).toEqual(new Set(['vol-a.1.1', 'vol-a.2.1']));
});

it('gets another life when its path has died', async () => {
  await attached('vol-a', 1);
  await devices.ensure('vol-a');
  users.set('vol-a.1.1', ['mounted on /mnt']);
  dead.add('vol-a.1.1');
  for (let looks = 0; looks < 2; looks += 1)
    for (const volume of devices.unsettled()) await devices.repair(volume);
  expect(journal.owned('dm', 'vol-a.1.1')?.params.leaving).toBe('forced');
  expect(journal.owned('dm', 'vol-a.1.2')?.params.leaving).toBeNull();
  expect(devices.unsettled()).toEqual([]);
});

it('goes when no attachment on record wants it', async () => {
  await attached('vol-a', 1);
  await devices.ensure('vol-a');
  await journal.dropOwned('frontend', 'vol-a');
  expect(devices.unsettled()).toEqual(['vol-a']);
  await devices.repair('vol-a');
  expect(names()).toEqual([]);
});

it('that is stuck keeps no other from being put right, and is complained of once', async () => {
  for (const volume of ['vol-a', 'vol-b']) await attached(volume, 1);
  stuck.add('vol-a');
  expect(devices.unsettled()).toEqual(['vol-a', 'vol-b']);
  for (const volume of devices.unsettled()) await devices.repair(volume);
  expect(made).toEqual(new Set(['vol-b.1.1']));
  expect(warnings).toEqual(['device not put right yet']);
  // Not at once again.
  expect(devices.unsettled()).toEqual([]);
  expect(counts.view()).toMatchObject({ devices: { repairs: 2 } });
});

it('that nothing uses goes with the agent, and comes back with the next; one in use stays', async () => {
  for (const volume of ['vol-a', 'vol-b']) {
    await attached(volume, 1);
    await devices.ensure(volume);
  }
  users.set('vol-b.1.1', ['mounted on /mnt']);
  await devices.pause();
  expect(made).toEqual(new Set(['vol-b.1.1']));
  expect([devices.isBound('vol-a'), devices.isBound('vol-b')]).toEqual([false, true]);
  expect(warnings).toEqual(['device in use: its I/O waits for the next start']);
  for (const volume of devices.unsettled()) await devices.repair(volume);
  expect(made).toEqual(new Set(['vol-a.1.1', 'vol-b.1.1']));
});

it('looks at the machine once for all volumes, since a look costs as much as the machine has', async () => {
  const volumes = Array.from({ length: 20 }, (_, index) => `vol-${index}`);
  for (const volume of volumes) {
    await attached(volume, 1);
    await devices.ensure(volume);
  }
  looks = 0;
  expect(devices.unsettled()).toEqual([]);
  expect(looks).toBe(1);
  for (const name of made) dead.add(name);
  expect(devices.unsettled()).toHaveLength(20);
  expect(looks).toBe(2);
});
