import 'reflect-metadata';
import type { CommandMap, CommandName } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectionLost } from '../testing/fake-target.js';
import { type Fixture, fixture, newContext, tempDir } from '../testing/fixture.js';

type Params = Readonly<Record<string, unknown>>;
type Step = { [Name in CommandName]: readonly [Name, CommandMap[Name]['input']] }[CommandName];

const remote = (name: string) => ({
  ...{ nqn: `nqn.${name}`, traddr: '127.0.0.1', trsvcid: '1', uuid: `uuid-of-${name}` },
});
const disk = 'disk-1';
const sizeBytes = 8 * MIB;
const engine = { volume: 'vol-1', epoch: 1 };
const lent = { replica: 'rep-2', volume: 'vol-2' };
const rebuilt = { replica: 'rep-3', volume: 'vol-3' };
const copy = { image: 'img-1', disk };
const reader = { hostNqn: 'nqn.reader' };
const limits = { rwIops: 5000, rwMbps: null, readMbps: null, writeMbps: null };

/** All that a node can be told to make, once. */
const MAKING: readonly Step[] = [
  ['replica.create', { replica: 'rep-1', volume: 'vol-1', disk, sizeBytes }],
  ['replica.create', { ...lent, disk, sizeBytes }],
  ['replica.export', { ...lent, epoch: 1, hostNqns: ['nqn.engine'] }],
  ['snapshot.create', { ...lent, snapshot: 's1' }],
  ['snapshot.export', { ...lent, snapshot: 's1', ...reader }],
  ['rebuild.export-snapshot', { ...lent, snapshot: 's1', hostNqn: 'nqn.destination' }],
  [
    'engine.start',
    {
      ...{ ...engine, uuid: 'uuid-of-vol-1', sizeBytes, qos: limits },
      legs: [
        { replica: 'rep-1', endpoint: null },
        { replica: 'far-1', endpoint: remote('far-1') },
      ],
    },
  ],
  ['engine.set-qos', { ...engine, qos: { ...limits, rwIops: 7000 } }],
  ['engine.close-gate', { ...engine, gate: 'gate-1', timeoutMs: 60_000 }],
  [
    'engine.add-leg',
    { ...engine, gate: 'gate-1', leg: { replica: 'far-2', endpoint: remote('far-2') } },
  ],
  ['engine.open-gate', { ...engine, gate: 'gate-1' }],
  ['rebuild.create-head', { ...rebuilt, disk, sizeBytes, source: remote('source') }],
  [
    'rebuild.create-scratch',
    { ...{ ...rebuilt, disk, sizeBytes, parent: null }, hostNqn: 'nqn.source', mibPerSecond: 7 },
  ],
  ['image.create-copy', { ...copy, sizeBytes, hostNqn: 'nqn.writer' }],
  ['image.seal-copy', copy],
  ['image.export-copy', { ...copy, ...reader }],
  ['replica.create', { replica: 'rep-4', volume: 'vol-4', disk, sizeBytes, image: 'img-1' }],
];

const ENDING: readonly Step[] = [
  ['engine.stop', engine],
  ...[
    ['rep-1', 'vol-1'],
    ['rep-2', 'vol-2'],
    ['rep-3', 'vol-3'],
    ['rep-4', 'vol-4'],
  ].map(([replica = '', volume = '']): Step => ['replica.delete', { replica, volume }]),
  ['image.unexport-copy', { ...copy, ...reader }],
  ['image.delete-copy', copy],
];

let dir: ReturnType<typeof tempDir>;
let node: Fixture;

beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path, {
    connect: ({ endpoint }) =>
      Promise.resolve({
        uuid: endpoint.uuid,
        blockSizeBytes: 4096,
        sizeBytes,
        read: (_offset, length) => Promise.resolve(Buffer.alloc(length)),
        write: () => Promise.resolve(),
        writeZeroes: () => Promise.resolve(),
        unmap: () => Promise.resolve(),
        flush: () => Promise.resolve(),
        refresh: () => Promise.resolve(),
        close: () => Promise.resolve(),
      }),
  });
  for (const name of ['far-1', 'far-2', 'source'])
    node.target.reachable.set(remote(name).nqn, remote(name).uuid);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

async function carryOut([name, input]: Step): Promise<unknown> {
  const handler = node.handlers[name as keyof Fixture['handlers']] as (
    given: unknown,
    context: unknown,
  ) => Promise<unknown>;
  return handler(input, newContext());
}

const isChange = (method: string): boolean => !/_get_|_check_|_wait_/.test(method);

/** What of a call that makes or opens something is not on record at that moment. */
function unrecorded(method: string, params: Params): string | undefined {
  const { journal } = node;
  const text = (name: string): string => String(params[name]);
  const alias = (lvol: string): string => `${disk}/${lvol}`;
  const raid = journal.owned('raid', text('name')) ?? journal.owned('raid', text('raid_name'));
  const subsystem = journal.owned('subsystem', text('nqn'));
  const lvols = journal.ownedOfKind('lvol');
  const isOnRecord: Readonly<Record<string, () => boolean>> = {
    bdev_lvol_create: () => journal.owned('lvol', alias(text('lvol_name'))) !== undefined,
    bdev_lvol_snapshot: () => journal.owned('lvol', alias(text('snapshot_name'))) !== undefined,
    bdev_lvol_clone: () => journal.owned('lvol', alias(text('clone_name'))) !== undefined,
    bdev_lvol_clone_bdev: () => journal.owned('lvol', alias(text('clone_name'))) !== undefined,
    bdev_nvme_attach_controller: () => journal.owned('controller', text('name')) !== undefined,
    bdev_raid_create: () => raid !== undefined,
    bdev_raid_grow_base_bdev: () =>
      raid?.params.legs.some(({ bdevName }) => bdevName === params['base_name']) === true,
    bdev_set_qos_limit: () =>
      raid?.params.qos !== undefined ||
      lvols.some(
        ({ uuid, params: { writeMibPerSecond } }) =>
          uuid === params['name'] && writeMibPerSecond === params['w_mbytes_per_sec'],
      ),
    lariat_bdev_quiesce: () =>
      raid?.params.gate?.id === params['gate'] || raid?.params.gate != null,
    nvmf_create_subsystem: () => subsystem !== undefined,
    nvmf_subsystem_add_ns: () => subsystem !== undefined,
    nvmf_subsystem_add_host: () => subsystem?.params.hosts.includes(text('host')) === true,
    nvmf_subsystem_add_listener: () => subsystem !== undefined,
  };
  const check = isOnRecord[method];
  return check === undefined || check() ? undefined : `${method} ${JSON.stringify(params)}`;
}

const leftOf = ({ target, journal }: Fixture) => ({
  lvols: target.lvols.size,
  subsystems: target.subsystems.size,
  raids: target.raids.size,
  controllers: target.controllers.size,
  records: (['lvol', 'subsystem', 'raid', 'controller'] as const).flatMap((kind) =>
    journal.ownedOfKind(kind).map(({ name }) => name),
  ),
});
const NOTHING = { lvols: 0, subsystems: 0, raids: 0, controllers: 0, records: [] };

test('whatever is made or opened is on record before', async () => {
  const faults: string[] = [];
  const made = new Set<string>();
  node.target.before = (method, params) => {
    if (!isChange(method)) return;
    made.add(method);
    const fault = unrecorded(method, params);
    if (fault !== undefined) faults.push(fault);
  };
  for (const step of MAKING) await carryOut(step);
  expect(faults).toEqual([]);
  // Each kind of making was among them.
  expect([...made]).toEqual(
    expect.arrayContaining([
      ...['bdev_lvol_create', 'bdev_lvol_snapshot', 'bdev_lvol_clone', 'bdev_lvol_clone_bdev'],
      ...['bdev_nvme_attach_controller', 'bdev_raid_create', 'bdev_raid_grow_base_bdev'],
      ...['bdev_set_qos_limit', 'nvmf_create_subsystem', 'nvmf_subsystem_add_host'],
    ]),
  );
  for (const step of ENDING) await carryOut(step);
  expect(leftOf(node)).toEqual(NOTHING);
});

test('an agent that dies between any record and its effect leaves nothing that is not found again', async () => {
  const changesOf = (): number => node.target.calls.filter(({ method }) => isChange(method)).length;
  let changes = 0;
  for (let cutAt = 0; cutAt === 0 || cutAt <= changes; cutAt += 1) {
    let seen = 0;
    // The call is never made, and nor is any after it: the process is gone.
    node.target.before = (method) => {
      if (isChange(method)) seen += 1;
      if (cutAt > 0 && seen >= cutAt) throw connectionLost();
    };
    node.target.calls.length = 0;
    let reached = 0;
    try {
      for (const step of MAKING) {
        await carryOut(step);
        reached += 1;
      }
    } catch {
      // Cut off; which step it was is known by what it reached.
    }
    if (cutAt === 0) changes = changesOf();
    const isCutOff = reached < MAKING.length;
    node.target.before = () => undefined;
    // The next agent gets the command again; or its saga was undone, and all of it is taken away.
    if (cutAt % 2 === 0) for (const step of MAKING.slice(reached)) await carryOut(step);
    for (const step of ENDING) await carryOut(step);
    expect({ cutAt, isCutOff, ...leftOf(node) }).toEqual({
      ...{ cutAt, isCutOff: cutAt > 0 },
      ...NOTHING,
    });
  }
  expect(changes).toBeGreaterThan(40);
}, 240_000);
