import { delay, MIB } from '@lariat/kernel';
import type { BlockDevice } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Lab } from '../contract/support/lab.js';
import { connectNamespace } from '../contract/support/nvme-host.js';
import { readAt, writeAt } from '../contract/support/pattern.js';
import { softTarget } from '../contract/support/target-kind.js';
import type { TargetProcess } from '../contract/support/target-process.js';
import { waitUntil } from '../contract/support/wait-until.js';
import { BLOCK_BYTES } from './block-content.js';
import { SteadyLoad } from './steady-load.js';
import { WriteHistory } from './write-history.js';

const ROUNDS = 100;
const SIZE_MIB = 8;
const HOST = 'nqn.2026-01.io.lariat:user';
const RAID = 'volume';
const RAID_NQN = 'nqn.2026-01.io.lariat:volume';
const HOLD_MS = 20_000;

interface Leg {
  readonly name: string;
  readonly target: TargetProcess;
  readonly lvol: string;
}

const nqnOf = ({ name }: Leg): string => `nqn.2026-01.io.lariat:${name}`;
const bdevOf = ({ name }: Leg): string => `${name}n1`;

let lab: Lab;

beforeEach(async () => {
  lab = await Lab.open(softTarget);
});

afterEach((context) => lab.close(context));

test(`each of three legs holds every acknowledged write, whichever target is killed, ${ROUNDS} times`, async () => {
  const engine = await newLeg('here');
  const remotes = [await newLeg('near'), await newLeg('far')] as const;
  const legs = [engine, ...remotes];
  const history = new WriteHistory((SIZE_MIB * MIB) / BLOCK_BYTES);
  const killed = new Map<Leg, number>(legs.map((leg) => [leg, 0]));

  await assemble(engine, remotes);
  for (let round = 0; round < ROUNDS; round += 1) {
    const victim = legs[Math.floor(Math.random() * legs.length)] ?? engine;
    killed.set(victim, (killed.get(victim) ?? 0) + 1);
    const violations =
      victim === engine
        ? await killEngine(engine, remotes, history)
        : await killRemote(engine, victim, history);
    expect(violations, `round ${round}, ${victim.name} killed`).toEqual([]);
  }
  expect([...killed.values()].every((times) => times > ROUNDS / 10)).toBe(true);
  expect(history.acknowledgedWrites).toBeGreaterThan(ROUNDS * 20);
});

/** The raid dies with its own leg. Afterwards every leg must hold all that was acknowledged. */
async function killEngine(
  engine: Leg,
  remotes: readonly Leg[],
  history: WriteHistory,
): Promise<readonly string[]> {
  const { device, close } = await connectNamespace(engine.target.port, RAID_NQN, HOST);
  const load = new SteadyLoad(device, history);
  await delay(10 + Math.random() * 60);
  load.expectDeath();
  await engine.target.kill();
  await close();
  await load.end();
  await reopen(engine);
  const legs = [engine, ...remotes];
  const contents = new Map<Leg, Buffer>();
  for (const leg of legs) contents.set(leg, await onLeg(leg, contentOf));
  const violations = legs.flatMap((leg) =>
    history
      .violations(contents.get(leg) ?? Buffer.alloc(0), 'acknowledged')
      .map((violation) => `${leg.name}: ${violation}`),
  );
  if (violations.length > 0) return violations;
  // What was never acknowledged may be on some only: one is taken, and the others are made like it.
  const source = legs[Math.floor(Math.random() * legs.length)] ?? engine;
  const chosen = contents.get(source) ?? Buffer.alloc(0);
  history.settle(chosen, 'acknowledged');
  for (const leg of legs) {
    if (leg !== source) await onLeg(leg, (device) => writeAt(device, 0, chosen));
  }
  await assemble(engine, remotes);
  return [];
}

/** A leg dies under the raid: what it missed is held back until the loss is on record, and the raid goes on. */
async function killRemote(
  engine: Leg,
  victim: Leg,
  history: WriteHistory,
): Promise<readonly string[]> {
  const { device, close } = await connectNamespace(engine.target.port, RAID_NQN, HOST);
  const load = new SteadyLoad(device, history);
  await delay(10 + Math.random() * 60);
  await victim.target.kill();
  await waitUntil('the raid to miss its leg', 10_000, async () => {
    const [raid] = await engine.target.spdk.raid.getBdevs();
    return raid?.numBaseBdevsOperational === 2;
  });
  await reopen(victim);
  // What was acknowledged up to here must be on the lost leg as well: its loss is on no record yet.
  const before = history.acknowledgedWrites;
  const lost = await onLeg(victim, contentOf);
  const violations = history
    .violations(lost, 'acknowledged')
    .map((violation) => `${victim.name}: ${violation}`);
  if (history.acknowledgedWrites !== before) violations.push('a write was not held back');
  await engine.target.spdk.raid.confirmLosses(RAID, [bdevOf(victim)]);
  await waitUntil('held writes to be acknowledged', 10_000, () =>
    Promise.resolve(history.acknowledgedWrites > before),
  );
  await load.end();
  const content = await contentOf(device);
  violations.push(...history.violations(content, 'acknowledged'));
  if (violations.length > 0) return violations;
  history.settle(content, 'acknowledged');
  await close();
  await rejoin(engine, victim);
  return [];
}

async function newLeg(name: string): Promise<Leg> {
  const target = await lab.startTarget();
  await target.soilDisk();
  await target.makeStore(64 * 1024);
  return { name, target, lvol: await target.createLvol(name, SIZE_MIB) };
}

/** The raid over the engine's own lvol and the remote ones, all in step, exported to the test. */
async function assemble(engine: Leg, remotes: readonly Leg[]): Promise<void> {
  const { spdk } = engine.target;
  for (const remote of remotes) await connect(engine, remote);
  await spdk.raid.create({
    name: RAID,
    raidLevel: 'raid1',
    baseBdevs: [engine.lvol, ...remotes.map(bdevOf)],
  });
  await spdk.raid.holdLosses(RAID, HOLD_MS);
  await engine.target.exportBdev(RAID_NQN, RAID, HOST);
}

async function connect(engine: Leg, remote: Leg): Promise<void> {
  await remote.target.exportBdev(nqnOf(remote), remote.lvol, HOST);
  await engine.target.spdk.nvme.attachController({
    name: remote.name,
    traddr: '127.0.0.1',
    trsvcid: remote.target.port,
    subnqn: nqnOf(remote),
    hostnqn: HOST,
    ctrlrLossTimeoutSeconds: 0,
    reconnectDelaySeconds: 0,
    fastIoFailTimeoutSeconds: 0,
  });
}

async function reopen(leg: Leg): Promise<void> {
  await leg.target.restart();
  await leg.target.openDisk();
}

/** Takes the leg in again with a full copy, and tells when it is in step. */
async function rejoin(engine: Leg, leg: Leg): Promise<void> {
  const { spdk, rpc } = engine.target;
  await waitUntil('the dead path to go', 10_000, async () => {
    const controllers = await spdk.nvme.getControllers();
    return !controllers.some(({ name }) => name === leg.name);
  });
  await connect(engine, leg);
  await rpc.call('bdev_raid_add_base_bdev', { raid_bdev: RAID, base_bdev: bdevOf(leg) });
  await waitUntil('the rebuild', 30_000, async () => {
    const bdev = (await rpc.call('bdev_raid_get_bdevs', { category: 'all' })) as readonly {
      readonly process?: unknown;
      readonly num_base_bdevs_operational: number;
    }[];
    return bdev[0]?.process === undefined && bdev[0]?.num_base_bdevs_operational === 3;
  });
}

/** Opens a leg by itself, beside what its target exports already. */
async function onLeg<T>(leg: Leg, use: (device: BlockDevice) => Promise<T>): Promise<T> {
  const { spdk } = leg.target;
  const subsystems = await spdk.nvmf.getSubsystems();
  const exported = subsystems.some(({ nqn }) => nqn === nqnOf(leg));
  if (!exported) await leg.target.exportBdev(nqnOf(leg), leg.lvol, HOST);
  const { device, close } = await connectNamespace(leg.target.port, nqnOf(leg), HOST);
  try {
    return await use(device);
  } finally {
    await close();
    await spdk.nvmf.deleteSubsystem(nqnOf(leg));
  }
}

function contentOf(device: BlockDevice): Promise<Buffer> {
  return readAt(device, 0, device.sizeBytes);
}
