import { MIB } from '@lariat/kernel';
import type { BlockDevice } from '@lariat/nvme-tcp';
import { connectNamespace, type NamespaceConnection } from '../contract/support/nvme-host.js';
import { readAt } from '../contract/support/pattern.js';
import type { TargetProcess } from '../contract/support/target-process.js';
import { waitUntil } from '../contract/support/wait-until.js';
import { BLOCK_BYTES } from './block-content.js';
import { WriteHistory } from './write-history.js';

const SIZE_MIB = 8;
const HOST = 'nqn.2026-01.io.lariat:user';
const RAID = 'volume';
const RAID_NQN = 'nqn.2026-01.io.lariat:volume';
const HOLD_MS = 20_000;

/** One of three copies: an lvol on a target of its own. */
export interface Leg {
  readonly name: string;
  readonly target: TargetProcess;
  readonly lvol: string;
}

const nqnOf = ({ name }: Leg): string => `nqn.2026-01.io.lariat:${name}`;
const bdevOf = ({ name }: Leg): string => `${name}n1`;

export function newHistory(): WriteHistory {
  return new WriteHistory((SIZE_MIB * MIB) / BLOCK_BYTES);
}

/** The mirror of all legs, as its user has it. */
export function connectVolume(engine: Leg): Promise<NamespaceConnection> {
  return connectNamespace(engine.target.port, RAID_NQN, HOST);
}

/** A thin lvol on a disk full of old bytes. */
export async function newLeg(name: string, target: TargetProcess): Promise<Leg> {
  await target.soilDisk();
  await target.makeStore(64 * 1024);
  return { name, target, lvol: await target.createLvol(name, SIZE_MIB) };
}

/** The raid over the engine's own lvol and the remote ones, all in step, exported to the test. */
export async function assemble(engine: Leg, remotes: readonly Leg[]): Promise<void> {
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

export async function reopen(leg: Leg): Promise<void> {
  await leg.target.restart();
  await leg.target.openDisk();
}

/** Takes the leg in again with a full copy, and tells when it is in step. */
export async function rejoin(engine: Leg, leg: Leg): Promise<void> {
  const { spdk, rpc } = engine.target;
  await spdk.nvme.detachController(leg.name);
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
export async function onLeg<T>(leg: Leg, use: (device: BlockDevice) => Promise<T>): Promise<T> {
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

export function contentOf(device: BlockDevice): Promise<Buffer> {
  return readAt(device, 0, device.sizeBytes);
}

/** Resolves when the raid has noticed that a leg is gone. */
export async function legMissed(engine: Leg): Promise<void> {
  await waitUntil('the raid to miss its leg', 10_000, async () => {
    const [raid] = await engine.target.spdk.raid.getBdevs();
    return raid?.numBaseBdevsOperational === 2;
  });
}

/** What a control plane does when it has the loss on record. */
export async function confirmLoss(engine: Leg, leg: Leg): Promise<void> {
  await engine.target.spdk.raid.confirmLosses(RAID, [bdevOf(leg)]);
}
