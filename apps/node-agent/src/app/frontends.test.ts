import { ReconcileCounts, systemClock } from '@lariat/kernel';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LmdbJournal } from '../adapters/lmdb/lmdb-journal.js';
import { silentLog, tempDir } from '../testing/fixture.js';
import { DmDriver } from './dm-driver.js';
import { Frontends } from './frontends.js';

let dir: ReturnType<typeof tempDir>;
let journal: LmdbJournal;

beforeEach(() => {
  dir = tempDir();
  journal = new LmdbJournal(dir.path);
});
afterEach(async () => {
  await journal.close();
  dir.remove();
});

const unused = new Proxy({}, { get: () => () => Promise.resolve() }) as never;
const frontendsOf = (bootId: string): Frontends =>
  new Frontends({
    ...{ journal, clock: systemClock, counts: new ReconcileCounts(), log: silentLog },
    ...{ processes: unused, sockets: unused, devices: unused, dataDir: dir.path, bootId },
    ...{ nbdCommand: ['false'], discards: () => false, onChange: () => undefined },
  });
const connect = async (bootId: string): Promise<void> => {
  const nvme = { controllers: () => [], namespaces: () => [], connect: () => Promise.resolve() };
  const driver = new DmDriver({
    ...{ journal, clock: systemClock, deviceDir: '/dev/lariat', bootId },
    ...{ nvme: nvme as never, mapper: { list: () => [] } as never },
    nodes: { read: () => null } as never,
    discards: () => true,
  });
  const frontend = journal.owned('frontend', 'vol-a');
  if (frontend === undefined) throw new Error('no frontend');
  await driver.advance(driver.plan(frontend, 'vol-a.1.1'), 'op');
};

it('counts on a kernel to send again what was not answered, but not on one that is no more', async () => {
  await frontendsOf('boot-1').note({
    ...{ volume: 'vol-a', epoch: 1, operation: 'op', frontend: 'kernel' },
    endpoint: { nqn: 'nqn', traddr: '127.0.0.1', trsvcid: '4420', uuid: 'u' },
  });
  expect(frontendsOf('boot-1').hasServedSince('vol-a', undefined)).toBe(true);
  await connect('boot-1');
  expect(frontendsOf('boot-1').hasServedSince('vol-a', undefined)).toBe(true);
  expect(frontendsOf('boot-2').hasServedSince('vol-a', undefined)).toBe(false);
  await connect('boot-2');
  expect(frontendsOf('boot-2').hasServedSince('vol-a', undefined)).toBe(true);
});
