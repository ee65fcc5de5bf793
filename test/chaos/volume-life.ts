import { createHash, randomBytes } from 'node:crypto';
import { NbdClient } from '@lariat/cli';
import type { ReplicaChecksums, VolumeView } from '@lariat/contracts';
import { MIB, delay, newUuid } from '@lariat/kernel';
import { type ChaosCluster, eventually } from './chaos-cluster.js';
import { USED_BYTES, whileUsed } from './volume-users.js';

const SIZE_BYTES = 16 * MIB;
const GROWN_BYTES = 20 * MIB;
const GROWN_IN_USE_BYTES = 24 * MIB;
const PIECE_BYTES = 256 * 1024;
const KILL_EVERY_MS = 500;

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

export async function withDevice<T>(
  chaos: ChaosCluster,
  volume: string,
  use: (device: NbdClient) => Promise<T>,
): Promise<T> {
  const { attachment } = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  if (attachment?.endpoint === undefined || attachment.endpoint === null)
    throw new Error(`${volume} has no endpoint`);
  const device = await NbdClient.connect(attachment.endpoint);
  try {
    return await use(device);
  } finally {
    await device.close();
  }
}

/** How a life is lived. */
interface Way {
  /** Its replicas may leave the in-sync set; the data must be whole all the same. */
  readonly mayDegrade?: boolean;
  /** Its end is in use by others from each attach to the detach, and is not part of what is compared here. */
  readonly isUsed?: boolean;
}

const comparedBytes = ({ isUsed = false }: Way): number =>
  isUsed ? SIZE_BYTES - USED_BYTES : SIZE_BYTES;

/** The work on an attached volume, with others beside it if it is lived so. */
function attached<T>(
  chaos: ChaosCluster,
  volume: string,
  way: Way,
  turn: number,
  work: () => Promise<T>,
): Promise<T> {
  if (way.isUsed !== true) return work();
  return whileUsed(chaos, volume, { fromBytes: comparedBytes(way), turn }, work);
}

/** Writes random bytes in the first cluster and in the middle of the volume; answers what a reader must find. */
export async function scribble(device: NbdClient, bytes = SIZE_BYTES): Promise<string> {
  const pieces = [0, SIZE_BYTES / 2 + 4096].map((offset) => ({
    offset,
    data: randomBytes(PIECE_BYTES),
  }));
  for (const { offset, data } of pieces) await device.write(offset, data);
  await device.flush();
  return sha256(await device.read(0, bytes));
}

/** Every operation on a volume, each seen through, with the data checked on the way. */
export async function liveThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  await live(chaos, volume);
}

/** The same where a target dies. */
export async function liveThroughTargetLoss(chaos: ChaosCluster, volume: string): Promise<void> {
  await live(chaos, volume, { mayDegrade: true });
}

/** The same while others use the volume and must notice nothing. */
export async function liveThroughInUse(chaos: ChaosCluster, volume: string): Promise<void> {
  await live(chaos, volume, { isUsed: true });
}

async function live(chaos: ChaosCluster, volume: string, way: Way = {}): Promise<void> {
  const bytes = comparedBytes(way);
  const write = (): Promise<string> =>
    withDevice(chaos, volume, (device) => scribble(device, bytes));
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  const [first, second] = await attached(chaos, volume, way, 0, async () => {
    const written = await write();
    await chaos.perform('snapshot.create', { volume, snapshot: 'first' });
    const again = await write();
    await chaos.perform('snapshot.create', { volume, snapshot: 'second' });
    await write();
    return [written, again];
  });
  await chaos.perform('volume.detach', { volume });
  await chaos.perform('snapshot.revert', { volume, snapshot: 'second' });
  await chaos.perform('snapshot.delete', { volume, snapshot: 'first' });
  await chaos.perform('volume.expand', { volume, sizeBytes: GROWN_BYTES });
  const sums = await compareReplicas(chaos, { volume });
  if (!sums.identical)
    throw new Error(`the replicas of ${volume} differ: ${JSON.stringify(sums.replicas)}`);
  await chaos.perform('volume.attach', { volume, node: 'n2', frontend: 'nbd' });
  await attached(chaos, volume, way, 1, async () => {
    const found = await withDevice(chaos, volume, async (device) => {
      const grown = await device.read(SIZE_BYTES, GROWN_BYTES - SIZE_BYTES);
      if (grown.some((byte) => byte !== 0)) throw new Error(`what ${volume} grew by is not zero`);
      return sha256(await device.read(0, bytes));
    });
    if (found !== second)
      throw new Error(
        `${volume} is not what it was at its second snapshot (first ${first}, found ${found})`,
      );
    await chaos.perform('volume.expand', { volume, sizeBytes: GROWN_IN_USE_BYTES });
    const shown = await withDevice(chaos, volume, (device) => Promise.resolve(device.sizeBytes));
    if (shown !== GROWN_IN_USE_BYTES) throw new Error(`${volume} shows ${shown} bytes in use`);
    if (way.mayDegrade !== true) await expectHealthy(chaos, volume);
  });
  await chaos.perform('volume.detach', { volume });
  await chaos.perform('volume.delete', { volume });
}

/** One operation, however often its answer is asked for. */
export function compareReplicas(
  chaos: ChaosCluster,
  request: { readonly volume: string; readonly snapshot?: string },
): Promise<ReplicaChecksums> {
  const options = { requestId: newUuid(), timeoutMs: 6_000 };
  return chaos.retrying('the replicas to be compared', () =>
    chaos.client.request('replica.checksum', request, options),
  );
}

/**
 * The death of a process of the control plane costs no replica, unless the machine was so slow to start it again that its node
 * was declared down: the node's events say so then, and the replica is made anew, as somebody would.
 */
export async function expectHealthy(chaos: ChaosCluster, volume: string): Promise<void> {
  const view = await look(chaos, volume);
  if (view.robustness === 'healthy') return;
  const down = await chaos.declaredDownSince(view.createdAt);
  const lost = view.replicas.filter(({ state }) => state !== 'ready');
  if (!lost.every(({ node }) => down.has(node))) throw new Error(tell(volume, view));
  await chaos.perform('replica.rebuild', { volume });
  const again = await look(chaos, volume);
  if (again.robustness !== 'healthy') throw new Error(tell(volume, again));
}

const look = (chaos: ChaosCluster, volume: string): Promise<VolumeView> =>
  chaos.retrying('the volume to be shown', () => chaos.client.request('volume.get', { volume }));

const tell = (volume: string, { robustness, replicas }: VolumeView): string =>
  `${volume} is ${robustness}: ${JSON.stringify(replicas)}`;

/** A volume that loses a replica and gets a new one while it is written to. */
export async function rebuildThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  await withDevice(chaos, volume, scribble);
  await chaos.perform('snapshot.create', { volume, snapshot: 'kept' });
  const { replicas } = await chaos.client.request('replica.list', { volume });
  const lost = replicas.find(({ node }) => node !== 'n1');
  if (lost === undefined) throw new Error('no replica is away from the engine');
  await chaos.perform('replica.remove', { volume, replica: lost.id });
  const before = await withDevice(chaos, volume, scribble);
  await chaos.perform('replica.rebuild', { volume });
  await expectHealthy(chaos, volume);
  const after = await withDevice(chaos, volume, async (device) =>
    sha256(await device.read(0, SIZE_BYTES)),
  );
  if (after !== before) throw new Error(`${volume} changed during its rebuild`);
  await chaos.perform('volume.detach', { volume });
  await expectIdentical(chaos, volume, ['kept', undefined]);
  await chaos.perform('volume.delete', { volume });
}

/** A volume that loses a replica, is written to, and gets the same replica back. */
export async function returnThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  await withDevice(chaos, volume, scribble);
  await chaos.perform('snapshot.create', { volume, snapshot: 'kept' });
  await withDevice(chaos, volume, scribble);
  const { replicas } = await chaos.client.request('replica.list', { volume });
  const lost = replicas.find(({ node }) => node === 'n2');
  if (lost === undefined) throw new Error('no replica is on n2');
  await loseLeg(chaos, volume, lost.node);
  await withDevice(chaos, volume, scribble);
  await chaos.perform('snapshot.create', { volume, snapshot: 'meanwhile' });
  const before = await withDevice(chaos, volume, scribble);
  await chaos.whole();
  await chaos.perform('replica.rebuild', { volume });
  await expectHealthy(chaos, volume);
  const view = await chaos.client.request('volume.get', { volume });
  if (!view.replicas.some(({ id }) => id === lost.id))
    throw new Error(`${lost.id} was not brought back: ${JSON.stringify(view.replicas)}`);
  const after = await withDevice(chaos, volume, async (device) =>
    sha256(await device.read(0, SIZE_BYTES)),
  );
  if (after !== before) throw new Error(`${volume} changed while its replica came back`);
  await chaos.perform('volume.detach', { volume });
  await expectIdentical(chaos, volume, ['kept', 'meanwhile', undefined]);
  await chaos.perform('volume.delete', { volume });
}

/** Kills a node's target until the engine has gone on without its leg: one that is back at once costs none. */
async function loseLeg(chaos: ChaosCluster, volume: string, node: string): Promise<void> {
  await eventually(`the leg on ${node} to be lost`, 30_000, async () => {
    const { robustness } = await chaos.client.request('volume.get', { volume });
    if (robustness === 'degraded') return { value: true };
    // Not running at this moment: it is dead enough.
    await chaos.cluster.kill(`${node}/target`).catch(() => undefined);
    await delay(KILL_EVERY_MS);
    return undefined;
  });
}

async function expectIdentical(
  chaos: ChaosCluster,
  volume: string,
  snapshots: readonly (string | undefined)[],
): Promise<void> {
  for (const snapshot of snapshots) {
    const sums = await compareReplicas(
      chaos,
      snapshot === undefined ? { volume } : { volume, snapshot },
    );
    if (!sums.identical)
      throw new Error(`the replicas of ${volume} differ (${snapshot ?? 'heads'})`);
  }
}

/** A clone of a volume in use, in part shared and in part copied, that outlives it. */
export async function cloneThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  const clone = `${volume}-clone`;
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 2 });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  const content = await withDevice(chaos, volume, scribble);
  await chaos.perform('volume.create', { name: clone, source: { volume }, replicas: 3 });
  await withDevice(chaos, volume, scribble);
  await chaos.perform('volume.detach', { volume });
  await chaos.perform('volume.delete', { volume });
  const sums = await compareReplicas(chaos, { volume: clone });
  if (!sums.identical || sums.replicas.length !== 3)
    throw new Error(`the replicas of ${clone} differ: ${JSON.stringify(sums.replicas)}`);
  if (sums.replicas[0]?.sha256 !== content)
    throw new Error(`${clone} is not what ${volume} was when it was cloned`);
  await chaos.perform('volume.delete', { volume: clone });
}

/**
 * Snapshots of two volumes at one point, while somebody writes to one and then to the other: what the second has been told,
 * the first holds.
 */
export async function groupThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  const volumes = [volume, `${volume}-log`] as const;
  for (const [index, name] of volumes.entries()) {
    await chaos.perform('volume.create', { name, sizeBytes: SIZE_BYTES, replicas: 2 });
    const node = `n${index + 1}`;
    await chaos.perform('volume.attach', { volume: name, node, frontend: 'nbd' });
  }
  const [first, second] = volumes;
  const writer = startOrderedWriter(chaos, first, second);
  try {
    await chaos.perform('snapshot.create-group', { volumes: [...volumes], snapshot: 'both' });
  } finally {
    await writer.stop();
  }
  const counts: number[] = [];
  for (const name of volumes) {
    await chaos.perform('volume.detach', { volume: name });
    await chaos.perform('snapshot.revert', { volume: name, snapshot: 'both' });
    const sums = await compareReplicas(chaos, { volume: name });
    if (!sums.identical) throw new Error(`the replicas of ${name} differ`);
    await chaos.perform('volume.attach', { volume: name, node: 'n3', frontend: 'nbd' });
    counts.push(await withDevice(chaos, name, countOn));
    await chaos.perform('volume.detach', { volume: name });
  }
  const [before = 0, after = 0] = counts;
  // Each number is on the first volume before it is on the second, and on the second before the next is on the first.
  if (before !== after && before !== after + 1)
    throw new Error(`${first} was frozen at ${before}, and ${second} at ${after}`);
  for (const name of volumes) await chaos.perform('volume.delete', { volume: name });
}

const countOn = async (device: NbdClient): Promise<number> =>
  (await device.read(0, 4096)).readUInt32LE(0);

/** Counts, on one volume and then on the other, each number once the one before is on both. */
function startOrderedWriter(
  chaos: ChaosCluster,
  first: string,
  second: string,
): { stop(): Promise<void> } {
  let isOver = false;
  const running = withDevice(chaos, first, (one) =>
    withDevice(chaos, second, async (other) => {
      for (let count = 1; !isOver; count += 1) {
        const block = Buffer.alloc(4096);
        block.writeUInt32LE(count);
        for (const device of [one, other]) await device.write(0, block);
      }
    }),
  );
  // Told by stop.
  running.catch(() => undefined);
  return {
    stop: async () => {
      isOver = true;
      await running;
    },
  };
}

/** All that changes a volume while it is attached: its limits, its size, how many replicas it has, and where. */
export async function changeThrough(chaos: ChaosCluster, volume: string): Promise<void> {
  await change(chaos, volume);
}

/** The same while others use the volume and must notice nothing. */
export async function changeThroughInUse(chaos: ChaosCluster, volume: string): Promise<void> {
  await change(chaos, volume, { isUsed: true });
}

async function change(chaos: ChaosCluster, volume: string, way: Way = {}): Promise<void> {
  const bytes = comparedBytes(way);
  await chaos.perform('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 1 });
  await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
  await attached(chaos, volume, way, 0, () => changeAttached(chaos, volume, bytes));
  await chaos.perform('volume.detach', { volume });
  const sums = await compareReplicas(chaos, { volume });
  if (!sums.identical) throw new Error(`the replicas of ${volume} differ`);
  await chaos.perform('volume.delete', { volume });
}

async function changeAttached(chaos: ChaosCluster, volume: string, bytes: number): Promise<void> {
  await withDevice(chaos, volume, scribble);
  await chaos.perform('snapshot.create', { volume, snapshot: 'kept' });
  const before = await withDevice(chaos, volume, (device) => scribble(device, bytes));
  await chaos.perform('volume.update', { volume, qos: { rwMbps: 500 } });
  await chaos.perform('volume.expand', { volume, sizeBytes: GROWN_BYTES });
  await chaos.perform('volume.update', { volume, replicas: 3 });
  const { replicas } = await chaos.retrying('the replicas to be shown', () =>
    chaos.client.request('replica.list', { volume }),
  );
  const moved = replicas.find(({ node }) => node !== 'n1');
  if (moved === undefined) throw new Error('no replica is away from the engine');
  await chaos.perform('replica.move', { volume, replica: moved.id });
  await chaos.perform('snapshot.verify', { volume, snapshot: 'kept' });
  await expectHealthy(chaos, volume);
  await chaos.perform('volume.update', { volume, replicas: 2 });
  const after = await withDevice(chaos, volume, async (device) => {
    if (device.sizeBytes !== GROWN_BYTES) throw new Error(`${volume} shows ${device.sizeBytes}`);
    return sha256(await device.read(0, bytes));
  });
  if (after !== before) throw new Error(`${volume} changed while it was changed`);
  const view = await chaos.retrying('the volume to be shown', () =>
    chaos.client.request('volume.get', { volume }),
  );
  if (view.replicas.length !== 2 || view.qos.rwMbps !== 500)
    throw new Error(`${volume} is not what it was changed to: ${JSON.stringify(view)}`);
}
