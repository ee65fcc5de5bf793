import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbdClient, findTargetSocket } from '@lariat/cli';
import {
  type CreateVolumeRequest,
  type LariatEvent,
  type VolumeView,
  eventFilter,
  nodeHostNqn,
} from '@lariat/contracts';
import { MIB, newReplicaId, newVolumeId } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeCommands } from '../e2e/node-commands.js';
import { ChaosCluster, eventually } from './chaos-cluster.js';
import { drawn } from './drawn.js';
import { steadyLoad } from './steady-load.js';

const IMAGE_BYTES = 4 * MIB;
const SIZE_BYTES = 6 * MIB;
const NODES = ['n1', 'n2', 'n3'] as const;

/** Acceptance of S0 (longhorn.md section 1), by all services: volumes on the same disks, of which one has an image. */
describe('a volume with an image', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lariat-untouched-'));
  const targets = new Map<string, SpdkClient>();
  const images = new Map<string, string>();
  const events: LariatEvent[] = [];
  let chaos: ChaosCluster;

  beforeAll(async () => {
    chaos = await ChaosCluster.start(NODES.length);
    await chaos.whole();
    for (const node of NODES) {
      const socketPath = (await findTargetSocket(chaos.cluster.paths.node(node))) ?? '';
      targets.set(node, await SpdkClient.connect({ socketPath }));
    }
    chaos.connection.subscribe(eventFilter('volume.>'), {
      callback: (_error, message) => void events.push(message.json<LariatEvent>()),
    });
    const { disks } = await chaos.client.request('disk.list', {});
    for (const name of ['bi1', 'bi2']) {
      const path = join(folder, name);
      writeFileSync(path, randomBytes(IMAGE_BYTES).fill(0, MIB, 2 * MIB));
      await chaos.perform('image.create', { name, source: { file: { path } } });
      const { id } = await chaos.client.request('image.get', { image: name });
      await chaos.client.request('internal.image.ensure-copies', {
        ...{ image: id, disks: disks.map(({ node, id: disk }) => ({ node, disk })) },
        volume: newVolumeId(),
      });
      images.set(name, id);
    }
  });
  afterAll(async () => {
    for (const target of targets.values()) target.close();
    await chaos.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const get = (volume: string): Promise<VolumeView> =>
    chaos.retrying(volume, () => chaos.client.request('volume.get', { volume }));

  /** Of all that these ids own on any disk: uuid, size, clusters, parent, and those of them that stand on it. */
  async function have(ids: readonly string[]): Promise<readonly object[]> {
    const isTheirs = (name: string): boolean => ids.some((id) => name.includes(id));
    const seen = await Promise.all(
      [...targets].map(async ([node, target]) => {
        const bdevs = await new Spdk(target).bdev.getBdevs();
        return bdevs.flatMap(({ uuid, aliases, sizeBytes, lvol }) =>
          lvol === undefined || !aliases.some(isTheirs)
            ? []
            : {
                ...{ node, uuid, aliases, sizeBytes, isSnapshot: lvol.isSnapshot },
                ...{ allocated: lvol.allocatedClusters, parent: lvol.baseSnapshot },
                clones: lvol.clones.filter(isTheirs).toSorted(),
              },
        );
      }),
    );
    return seen.flat().toSorted((one, other) => one.uuid.localeCompare(other.uuid));
  }

  const checksum = (volume: string, snapshot?: string): Promise<unknown> =>
    chaos.retrying('the replicas to be compared', () =>
      chaos.client.request(
        'replica.checksum',
        { volume, ...(snapshot === undefined ? {} : { snapshot }) },
        { timeoutMs: 30_000 },
      ),
    );

  /** Writes all of the volume, so that a write to it takes no cluster from then on. */
  async function fill(volume: string): Promise<void> {
    const device = await NbdClient.connect((await get(volume)).attachment?.endpoint ?? '');
    for (let at = 0; at < SIZE_BYTES; at += MIB) await device.write(at, randomBytes(MIB));
    await device.flush();
    await device.close();
  }

  async function removeReplica(volume: string, node: string): Promise<void> {
    const { replicas } = await get(volume);
    const there = replicas.find((replica) => replica.node === node);
    if (there === undefined) throw new Error(`${volume} has no replica on ${node}`);
    await chaos.perform('replica.remove', { volume, replica: there.id });
  }

  /** What an old replica of the volume has left on n2: a head, a snapshot, and a scratch of a rebuild that was cut off. */
  async function leaveJunk({ id: volume, image }: VolumeView): Promise<string> {
    const { disks } = await chaos.client.request('disk.list', {});
    const disk = disks.find(({ node }) => node === 'n2')?.id ?? '';
    const send = nodeCommands(chaos.connection);
    const of = { replica: newReplicaId(), volume };
    const size = { disk, sizeBytes: SIZE_BYTES, image };
    await send('n2', 'replica.create', { ...of, ...size });
    await send('n2', 'snapshot.create', { ...of, snapshot: 'snap-foo' });
    const hostNqn = nodeHostNqn('n3');
    await send('n2', 'rebuild.create-scratch', { ...of, ...size, parent: null, hostNqn });
    return of.replica;
  }

  /** Each way in which replicas of the neighbour go, and come; `check` after each. */
  async function disturb(
    create: CreateVolumeRequest,
    check: (what: string) => Promise<void>,
  ): Promise<void> {
    const volume = create.name;
    await chaos.perform('volume.create', create);
    await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
    for (const snapshot of ['s1', 's2']) {
      await fill(volume);
      await chaos.perform('snapshot.create', { volume, snapshot });
    }
    await check('made, written to and frozen');
    for (const node of NODES) {
      await removeReplica(volume, node);
      await check(`without its replica on ${node}`);
      await chaos.perform('replica.rebuild', { volume });
      await check(`with a new one on ${node}`);
    }

    await removeReplica(volume, 'n2');
    const junk = await leaveJunk(await get(volume));
    await chaos.perform('replica.rebuild', { volume });
    await eventually('the junk to go', 30_000, async () =>
      (await have([junk])).length === 0 ? { value: true } : undefined,
    );
    await check('rebuilt where an old replica had left something');

    await removeReplica(volume, 'n2');
    // After one copied snapshot: what the destination has made is taken away, and all is done again.
    await chaos.arm('node-agent-n2', {
      ...{ point: 'agent/rebuild.freeze-scratch/intent-journaled', action: 'throw', skip: 1 },
    });
    const [first, second] = await chaos.perform('replica.rebuild', { volume });
    expect([first?.state, second?.state]).toEqual(['failed', 'succeeded']);
    await check('rebuilt after a rebuild that failed');

    await removeReplica(volume, 'n2');
    // The source: a node without the engine.
    await chaos.arm('node-agent-n3', {
      ...{ point: 'agent/rebuild.copy-snapshot/intent-journaled', action: 'kill', skip: 1 },
    });
    await chaos.perform('replica.rebuild', { volume });
    await check('rebuilt from a node whose agent died');
    await chaos.whole();

    await chaos.perform('volume.detach', { volume });
    await removeReplica(volume, 'n1');
    await chaos.arm('replica-svc', { point: 'saga/replica.rebuild/copy/after', action: 'kill' });
    await chaos.perform('replica.rebuild', { volume });
    await check('rebuilt while it was detached');
    await chaos.perform('snapshot.revert', { volume, snapshot: 's1' });
    await chaos.perform('snapshot.delete', { volume, snapshot: 's2' });
    await check('reverted');
    expect(await checksum(volume)).toMatchObject({ identical: true, replicas: [{}, {}, {}] });
    await chaos.perform('volume.delete', { volume });
    await check('deleted');
  }

  const neighbours = ['its image', 'another image', 'no image', 'what it is a clone of'] as const;
  const cases = neighbours.flatMap((neighbour) => [
    { neighbour, clones: 1, attached: false },
    { neighbour, clones: 2, attached: true },
  ]);

  it.each(drawn('neighbours', cases, 3))(
    'has no event and stays as it is beside one on $neighbour, with $clones of it, attached: $attached',
    async ({ neighbour, clones, attached }) => {
      const isClone = neighbour === 'what it is a clone of';
      const quiet = Array.from({ length: clones }, (_, at) => `quiet-${at}`);
      const made = { sizeBytes: SIZE_BYTES, replicas: 3 };
      if (isClone) {
        await chaos.perform('volume.create', { name: 'origin', ...made });
        await chaos.perform('snapshot.create', { volume: 'origin', snapshot: 'entry' });
      }
      const from = isClone ? { source: { volume: 'origin', snapshot: 'entry' } } : { image: 'bi1' };
      for (const volume of quiet) {
        await chaos.perform('volume.create', { name: volume, ...made, ...from });
        await chaos.perform('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
        await fill(volume);
        await chaos.perform('snapshot.create', { volume, snapshot: 'kept' });
        await fill(volume);
        if (!attached) await chaos.perform('volume.detach', { volume });
      }
      const volumes = await Promise.all([...quiet, ...(isClone ? ['origin'] : [])].map(get));
      const ids = [
        ...images.values(),
        ...volumes.flatMap(({ replicas }) => replicas.map(({ id }) => id)),
      ];
      const sums = (): Promise<unknown> =>
        Promise.all(
          quiet.flatMap((volume) => [
            checksum(volume, 'kept'),
            ...(attached ? [] : [checksum(volume)]),
          ]),
        );
      const before = { lvols: await have(ids), sums: await sums() };
      expect(before.lvols.length).toBeGreaterThan(2 * NODES.length);
      const loads = attached
        ? await Promise.all(
            volumes
              .filter(({ attachment }) => attachment !== null)
              .map(({ attachment }) => steadyLoad(attachment?.endpoint ?? '', SIZE_BYTES)),
          )
        : [];
      const known = new Map<string, number>();
      for (const { objectId, sequence } of events)
        known.set(objectId, Math.max(sequence, known.get(objectId) ?? 0));
      const of: Record<(typeof neighbours)[number], object> = {
        'its image': { image: 'bi1' },
        'another image': { image: 'bi2' },
        'no image': {},
        'what it is a clone of': from,
      };

      await disturb({ name: 'noisy', ...made, ...of[neighbour] }, async (what) => {
        expect({ what, lvols: await have(ids) }).toEqual({ what, lvols: before.lvols });
      });

      for (const { blocks, failures } of await Promise.all(loads.map((load) => load.end()))) {
        expect(failures).toEqual([]);
        expect(blocks).toBeGreaterThan(100);
      }
      expect(await sums()).toEqual(before.sums);
      // An event may be told twice; a new one has a higher number. Of the source those that tell of its clones are right.
      const isQuiet = new Set(volumes.slice(0, clones).map(({ id }) => id));
      const isNew = ({ objectId, sequence }: LariatEvent): boolean =>
        isQuiet.has(objectId) && sequence > (known.get(objectId) ?? 0);
      expect(events.filter(isNew)).toEqual([]);
      for (const volume of volumes.slice(0, clones)) expect(await get(volume.name)).toEqual(volume);

      for (const volume of quiet) {
        if (attached) await chaos.perform('volume.detach', { volume });
        expect(await checksum(volume)).toMatchObject({ identical: true, replicas: [{}, {}, {}] });
        await chaos.perform('volume.delete', { volume });
      }
      if (isClone) await chaos.perform('volume.delete', { volume: 'origin' });
    },
    300_000,
  );

  it('leaves images that can be deleted, and nothing then', async () => {
    for (const image of images.keys()) {
      const verified = await chaos.client.request('image.verify', { image }, { timeoutMs: 60_000 });
      expect(verified).toMatchObject({ verdict: 'identical', copies: [{}, {}, {}] });
      await chaos.perform('image.delete', { image });
    }
    expect(await chaos.leftovers()).toEqual([]);
  });
});
