import { type CommandMap, type Frontend, frontendHostNqn, volumeNqn } from '@lariat/contracts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { OwnedSubsystem } from '../domain/ownership.js';
import { context, fixture, tempDir, type Fixture } from '../testing/fixture.js';
import { frontendCommands } from './frontend.commands.js';
import { Frontends } from './frontends.js';

const VOLUME = 'vol-1';
const NQN = volumeNqn(VOLUME);
const [A, B] = ['nqn.2026-11.io.example:a', 'nqn.2026-11.io.example:b'];

let dir: ReturnType<typeof tempDir>;
let node: Fixture;
beforeEach(async () => {
  dir = tempDir();
  node = await fixture(dir.path);
});
afterEach(async () => {
  await node.journal.close();
  dir.remove();
});

async function startEngine(epoch: number): Promise<CommandMap['engine.start']['output']> {
  const input = { replica: 'rep-a', volume: VOLUME, disk: 'disk-1', sizeBytes: 8 << 20 };
  await node.handlers['replica.create'](input, context);
  const legs = [{ replica: 'rep-a', endpoint: null }];
  return node.handlers['engine.start'](
    { volume: VOLUME, uuid: 'raid-uuid', epoch, sizeBytes: 8 << 20, legs },
    context,
  );
}

function commands(): ReturnType<typeof frontendCommands> {
  const { journal, exports, devices, target } = node;
  const unused = new Proxy({}, { get: () => () => Promise.resolve() }) as never;
  const frontends = new Frontends({
    ...{ journal, devices, processes: unused, sockets: unused, clock: unused, counts: unused },
    ...{ log: unused, dataDir: dir.path, bootId: 'boot', nbdCommand: ['false'] },
    ...{ discards: () => false, onChange: () => undefined },
  });
  const offers = [{ frontend: 'nvmf' as Frontend, available: true, reason: null }];
  return frontendCommands(journal, exports, frontends, devices, target, offers);
}

async function attach(epoch: number, hostNqns?: readonly string[]): Promise<string> {
  const { endpoint } = await startEngine(epoch);
  const input = { volume: VOLUME, epoch, frontend: 'nvmf' as const, endpoint };
  const named = hostNqns === undefined ? {} : { hostNqns };
  const started = await commands()['frontend.start']({ ...input, ...named }, context);
  return started.endpoint;
}

/** As when the target has started anew. */
async function putBack(): Promise<void> {
  node.target.subsystems.clear();
  const engine = node.engines.recordOf(VOLUME);
  if (engine === undefined) throw new Error('the engine runs');
  await node.engines.export(engine);
}

/** As the target has it. */
const admitted = (): unknown => {
  const { anyHost, hosts } = node.target.subsystems.get(NQN) ?? {};
  return { anyHost, hosts: [...(hosts ?? [])] };
};
const only = (...hosts: readonly string[]): unknown => ({ anyHost: false, hosts });

it('lets in the hosts that are named, and no other', async () => {
  expect(await attach(1, [A, B])).toBe(`nvme+tcp://127.0.0.1:4420/${NQN}`);
  expect(admitted()).toEqual(only(A, B));
});

it('lets in one that only this epoch has, where none is named', async () => {
  await attach(1);
  expect(admitted()).toEqual(only(frontendHostNqn(VOLUME, 1)));
  await attach(2);
  expect(admitted()).toEqual(only(frontendHostNqn(VOLUME, 2)));
});

it('lets in no host of the epoch before, whoever it was for', async () => {
  await attach(1, [A]);
  await startEngine(2);
  expect(admitted()).toEqual(only(frontendHostNqn(VOLUME, 2)));
});

it('lets in no one any more once it is stopped', async () => {
  await attach(1, [A]);
  await commands()['frontend.stop']({ volume: VOLUME, epoch: 1 }, context);
  expect(admitted()).toEqual(only());
});

it('lets in the same hosts when the engine is put back, and when its command comes again', async () => {
  await attach(1, [A]);
  await putBack();
  expect(admitted()).toEqual(only(A));
  await startEngine(1);
  expect(admitted()).toEqual(only(A));
});

it('leaves an attachment of a time without lists open to its hosts, until the next one', async () => {
  await attach(1, []);
  const record = node.journal.owned('subsystem', NQN);
  if (record === undefined) throw new Error('the engine is exported');
  const old: OwnedSubsystem = { ...record, params: { ...record.params, allowAnyHost: true } };
  await node.journal.putOwned(old);
  await putBack();
  expect(admitted()).toEqual({ anyHost: true, hosts: [] });
  await attach(2);
  expect(admitted()).toEqual(only(frontendHostNqn(VOLUME, 2)));
  expect(node.journal.owned('subsystem', NQN)?.params).not.toHaveProperty('allowAnyHost');
});
