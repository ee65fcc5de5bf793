import 'reflect-metadata';
import { replicaNqn, volumeNqn } from '@lariat/contracts';
import { systemClock } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Fixture, fixture, newContext, silentLog, tempDir } from '../testing/fixture.js';
import { StandDown } from './stand-down.js';

const REMOTE = { nqn: 'nqn.remote', traddr: '127.0.0.1', trsvcid: '1', uuid: 'remote-uuid' };
const OF = { volume: 'vol-1', disk: 'disk-1', sizeBytes: 8 << 20 };

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
let steps: string[];
let standDown: StandDown;

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
  steps = [];
  node.target.reachable.set(REMOTE.nqn, REMOTE.uuid);
  await node.handlers['replica.create']({ ...OF, replica: 'rep-1' }, newContext());
  await node.handlers['engine.start'](
    {
      ...{ volume: 'vol-1', uuid: 'vol-uuid', epoch: 1, sizeBytes: OF.sizeBytes },
      legs: [
        { replica: 'rep-1', endpoint: null },
        { replica: 'rep-2', endpoint: REMOTE },
      ],
    },
    newContext(),
  );
  const lent = { ...OF, replica: 'rep-3', volume: 'vol-2' };
  await node.handlers['replica.create'](lent, newContext());
  await node.handlers['replica.export'](
    { ...lent, epoch: 1, hostNqns: ['nqn.engine'] },
    newContext(),
  );
  node.target.calls.length = 0;
  node.target.before = (method) => {
    if (!/_get_/.test(method)) steps.push(method);
  };
  const { journal, target, engines } = node;
  standDown = new StandDown({
    ...{ journal, target, engines, clock: systemClock, log: silentLog },
    frontends: {
      stopProcesses: () => {
        steps.push('frontends');
        return Promise.resolve();
      },
    },
  });
});

afterEach(async () => {
  vi.useRealTimers();
  await node.journal.close();
  dir.remove();
});

test('hosts go first, then engines and their paths, then what others have; the records stay', async () => {
  const records = ['raid', 'subsystem', 'controller'] as const;
  const before = records.map((kind) => node.journal.ownedOfKind(kind));
  expect(await standDown.run(1_000)).toEqual([]);
  expect(steps).toEqual([
    ...['frontends', 'nvmf_delete_subsystem', 'bdev_raid_delete', 'bdev_nvme_detach_controller'],
    'nvmf_delete_subsystem',
  ]);
  const { subsystems, raids, controllers } = node.target;
  expect([subsystems.size, raids.size, controllers.size]).toEqual([0, 0, 0]);
  expect(records.map((kind) => node.journal.ownedOfKind(kind))).toEqual(before);
  // Again, it has nothing to do.
  steps.length = 0;
  expect(await standDown.run(1_000)).toEqual([]);
  expect(steps.filter((step) => step.includes('delete'))).toEqual([]);
});

test('what has only the name of ours stays', async () => {
  const seen = node.target.subsystems.get(replicaNqn('rep-3'));
  if (seen?.namespace === undefined) throw new Error('the leg is exported');
  seen.namespace.uuid = 'another';
  await standDown.run(1_000);
  expect([...node.target.subsystems.keys()]).toEqual([replicaNqn('rep-3')]);
});

test('what hangs holds up nothing past the deadline, and is told', async () => {
  const call = node.target.call.bind(node.target);
  vi.spyOn(node.target, 'call').mockImplementation((method, params) =>
    method === 'bdev_raid_delete' ? new Promise(() => undefined) : call(method, params),
  );
  const left = await standDown.run(50);
  expect(left).toContain('engine vol-1');
  expect(node.target.subsystems.has(volumeNqn('vol-1'))).toBe(false);
});
