import { randomBytes } from 'node:crypto';
import { findTargetSocket } from '@lariat/cli';
import {
  STALE_HEAD,
  clusterDigestOf,
  encodeDigestPage,
  imageFetchHostNqn,
  nodeHostNqn,
  rootDigestOf,
} from '@lariat/contracts';
import { MIB, newImageId, newReplicaId, newVolumeId } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';
import { type SendToNode, nodeCommands, whileAttached } from './node-commands.js';

const CLUSTERS = 6;
const IMAGE_BYTES = CLUSTERS * MIB;
const SIZE_BYTES = 8 * MIB;
const HOST = 'nqn.2026-11.io.lariat:e2e';
/** The node whose disk all share; the other has the replica that is copied from. */
const [HERE, THERE] = ['n1', 'n2'] as const;

/** Acceptance of S0 (longhorn.md section 1) on a real target: what the commands do, without the services that send them. */
describe('a volume with an image', () => {
  let e2e: E2eCluster;
  let send: SendToNode;
  let target: SpdkClient;
  const disks = new Map<string, string>();
  const on = (node: string): { disk: string } => ({ disk: disks.get(node) ?? '' });

  beforeAll(async () => {
    e2e = await startE2e();
    send = nodeCommands(e2e.connection);
    const listed = await e2e.client.request('disk.list', {});
    for (const { node, id } of listed.disks) disks.set(node, id);
    const socketPath = (await findTargetSocket(e2e.cluster.paths.node(HERE))) ?? '';
    target = await SpdkClient.connect({ socketPath });
  });
  afterAll(async () => {
    target.close();
    await e2e.stop();
  });

  /** An image with the same content on both nodes; answers its root digest. */
  async function importImage(image: string): Promise<string> {
    const content = randomBytes(IMAGE_BYTES).fill(0, MIB, 2 * MIB);
    const digests = Buffer.concat(
      Array.from({ length: CLUSTERS }, (_, at) =>
        clusterDigestOf(content.subarray(at * MIB, (at + 1) * MIB)),
      ),
    );
    const make = { image, sizeBytes: IMAGE_BYTES };
    const here = { image, ...on(HERE) };
    const { endpoint } = await send(HERE, 'image.create-copy', {
      ...{ ...make, ...here, hostNqn: HOST },
    });
    if (endpoint === null) throw new Error('the draft is exported');
    await whileAttached(endpoint, HOST, async (device) => {
      for (const at of [0, 2, 3, 4, 5])
        await device.write(at * MIB, content.subarray(at * MIB, (at + 1) * MIB));
    });
    await send(HERE, 'image.seal-copy', here);
    const there = { image, ...on(THERE) };
    await send(THERE, 'image.create-copy', { ...make, ...there, hostNqn: null });
    const hostNqn = imageFetchHostNqn(image, there.disk);
    const source = await send(HERE, 'image.export-copy', { ...here, hostNqn });
    const page = encodeDigestPage({ digests }, 0, CLUSTERS);
    await send(THERE, 'image.fetch-copy', { ...there, source, firstCluster: 0, digests: page });
    await send(HERE, 'image.unexport-copy', { ...here, hostNqn });
    await send(THERE, 'image.seal-copy', there);
    return rootDigestOf({ sizeBytes: IMAGE_BYTES, digests });
  }

  interface Replica {
    readonly replica: string;
    readonly volume: string;
  }

  async function write(node: string, of: Replica, at: number): Promise<void> {
    const leg = { ...of, epoch: 1 };
    const endpoint = await send(node, 'replica.export', { ...leg, hostNqns: [HOST] });
    await whileAttached(endpoint, HOST, async (device) => {
      await device.write(at, randomBytes(8192));
      await device.flush();
    });
    await send(node, 'replica.unexport', leg);
  }

  const sum = async (node: string, of: Replica, snapshot: string | null): Promise<string> =>
    (await send(node, 'replica.checksum', { ...of, snapshot })).sha256;

  /** Every lvol of the shared disk that is not A's: uuid, size, clusters, parent. The image's clones are told apart. */
  async function othersThan(a: string): Promise<readonly object[]> {
    const bdevs = await new Spdk(target).bdev.getBdevs();
    return bdevs
      .filter(({ lvol, aliases }) => lvol !== undefined && !aliases.some((of) => of.includes(a)))
      .map(({ uuid, aliases, sizeBytes, lvol }) => ({
        ...{ uuid, aliases, sizeBytes },
        ...{ allocated: lvol?.allocatedClusters, parent: lvol?.baseSnapshot },
        clones: lvol?.clones.filter((clone) => !clone.startsWith(a)).toSorted(),
        isSnapshot: lvol?.isSnapshot,
      }))
      .toSorted((one, other) => one.uuid.localeCompare(other.uuid));
  }

  const cases = ['its image', 'another image', 'no image'].flatMap((standsOn) =>
    [1, 2].map((clones) => ({ standsOn, clones })),
  );

  it.each(cases)(
    'is not touched by a neighbour on $standsOn whose replica goes and comes, with $clones clones of the image',
    async ({ standsOn, clones }) => {
      const image = newImageId();
      const root = await importImage(image);
      const ownImage =
        standsOn === 'its image' ? image : standsOn === 'another image' ? newImageId() : null;
      if (ownImage !== null && ownImage !== image) await importImage(ownImage);

      const quiet: Replica[] = [];
      for (let clone = 0; clone < clones; clone += 1) {
        const b = { replica: newReplicaId(), volume: newVolumeId() };
        await send(HERE, 'replica.create', { ...b, ...on(HERE), sizeBytes: SIZE_BYTES, image });
        await write(HERE, b, 4096);
        await send(HERE, 'snapshot.create', { ...b, snapshot: 'kept' });
        await write(HERE, b, 3 * MIB);
        quiet.push(b);
      }
      const a = { replica: newReplicaId(), volume: newVolumeId() };
      const source = { replica: newReplicaId(), volume: a.volume };
      await send(THERE, 'replica.create', {
        ...{ ...source, ...on(THERE), sizeBytes: SIZE_BYTES, image: ownImage },
      });
      for (const [at, snapshot] of ['s1', 's2'].entries()) {
        await write(THERE, source, at * 5 * MIB + 4096);
        await send(THERE, 'snapshot.create', { ...source, snapshot });
      }
      const whole = await sum(THERE, source, 's2');
      const sums = async (): Promise<unknown> =>
        Promise.all(quiet.map(async (b) => [await sum(HERE, b, null), await sum(HERE, b, 'kept')]));
      const before = { others: await othersThan(a.replica), sums: await sums() };
      const unchanged = async (what: string): Promise<void> => {
        const now = { others: await othersThan(a.replica), sums: await sums() };
        expect({ after: what, ...now }).toEqual({ after: what, ...before });
      };

      const rebuild = { ...a, ...on(HERE), sizeBytes: SIZE_BYTES };
      const joinHead = async (): Promise<void> => {
        const exported = await send(THERE, 'rebuild.export-snapshot', {
          ...{ ...source, snapshot: 's2', hostNqn: nodeHostNqn(HERE) },
        });
        await send(HERE, 'rebuild.create-head', { ...rebuild, source: exported });
      };
      const copy = async (snapshot: string, parent: string | null): Promise<void> => {
        const scratch = await send(HERE, 'rebuild.create-scratch', {
          ...{ ...rebuild, parent, image: ownImage, hostNqn: nodeHostNqn(THERE) },
        });
        await send(THERE, 'rebuild.copy-snapshot', {
          ...{ ...source, snapshot, parent, image: ownImage, scratch },
        });
        await send(THERE, 'rebuild.detach-scratch', { ...source, scratchNqn: scratch.nqn });
        await unchanged(`${snapshot} copied`);
      };
      const freeze = (snapshot: string): Promise<unknown> =>
        send(HERE, 'rebuild.freeze-scratch', { ...a, snapshot });
      const rebuilt = async (): Promise<void> => {
        await joinHead();
        await copy('s1', null);
        await freeze('s1');
        await copy('s2', 's1');
        await freeze('s2');
        await send(HERE, 'rebuild.finish', { ...a, snapshot: 's2' });
        await unchanged('rebuilt');
        expect(await sum(HERE, a, 's2')).toBe(whole);
      };

      await joinHead();
      await copy('s1', null);
      await send(HERE, 'rebuild.discard-head', a);
      await unchanged('rebuild given up');
      await send(HERE, 'replica.delete', a);
      await unchanged('what it had copied deleted');
      await rebuilt();
      await send(HERE, 'replica.delete', a);
      await unchanged('deleted');
      await rebuilt();
      await send(HERE, 'replica.revert', { ...a, snapshot: 's1', sizeBytes: SIZE_BYTES });
      await unchanged('reverted');
      await send(HERE, 'rebuild.retire-head', a);
      await unchanged('retired');
      await send(HERE, 'rebuild.prune-snapshots', { ...a, keep: [STALE_HEAD] });
      await unchanged('pruned of what stands on the image');
      await joinHead();
      await copy('s1', null);
      await freeze('s1');
      await send(HERE, 'rebuild.discard-head', a);
      await unchanged('second rebuild given up');
      await send(HERE, 'replica.delete', a);
      await rebuilt();
      await send(HERE, 'snapshot.delete', { ...a, snapshot: 's1' });
      await unchanged('the snapshot on the image deleted');
      expect(await sum(HERE, a, 's2')).toBe(whole);
      await send(HERE, 'replica.delete', a);
      await unchanged('gone');

      await send(THERE, 'rebuild.unexport-snapshot', { ...source, snapshot: 's2' });
      await send(THERE, 'replica.delete', source);
      for (const b of quiet) await send(HERE, 'replica.delete', b);
      const roots = new Set<string>();
      for (const node of [HERE, THERE]) {
        const copy = { ...on(node), image };
        roots.add((await send(node, 'image.digest-copy', { ...copy, reread: true })).sha256);
        await send(node, 'image.delete-copy', copy);
        if (ownImage !== null) await send(node, 'image.delete-copy', { ...copy, image: ownImage });
      }
      expect([...roots]).toEqual([root]);
      expect(await e2e.leftovers()).toEqual([]);
    },
    180_000,
  );
});
