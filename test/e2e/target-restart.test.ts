import { randomBytes } from 'node:crypto';
import { findTargetSocket } from '@lariat/cli';
import { nodeHostNqn, volumeNqn } from '@lariat/contracts';
import { MIB, newImageId, newReplicaId, newVolumeId } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { type SendToNode, nodeCommands, whileAttached } from './node-commands.js';
import { type TargetContent, contentOf, differences } from './target-content.js';

const SIZE_BYTES = 8 * MIB;
const READER = 'nqn.2026-11.io.lariat:e2e-reader';
const WRITER = 'nqn.2026-11.io.lariat:e2e-writer';
/** A target that is killed has all of it back in this time, on a machine that does other things too. */
const BOUND_MS = 60_000;

describe('a node that has one of everything', () => {
  let e2e: E2eCluster;
  let send: SendToNode;
  const data = randomBytes(SIZE_BYTES);
  const older = randomBytes(MIB);

  beforeAll(async () => {
    e2e = await startE2e();
    send = nodeCommands(e2e.connection);
    await haveOneOfEverything();
  }, 120_000);
  afterAll(async () => {
    await e2e.stop();
  });

  async function whileOpen<T>(use: (target: Spdk) => Promise<T>): Promise<T> {
    const socketPath = await findTargetSocket(e2e.cluster.paths.node('n1'));
    const client = await SpdkClient.connect({ socketPath: socketPath ?? '' });
    try {
      return await use(new Spdk(client));
    } finally {
      client.close();
    }
  }

  const pidOfTarget = (): number =>
    e2e.cluster.processes().find(({ name }) => name === 'n1/target')?.pid ?? 0;

  const kinds = new Map<string, string>();

  async function haveOneOfEverything(): Promise<void> {
    const { client } = e2e;
    const create = (name: string, more: object = {}) =>
      client.request('volume.create', { name, sizeBytes: SIZE_BYTES, replicas: 3, ...more });
    // An engine with a local leg and two paths, limits and an NBD server.
    const used = await create('used', { qos: { rwIops: 50_000, writeMbps: 900 } });
    await client.request('volume.attach', { volume: 'used', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('used');
    await device.writeAll(0, older);
    await client.request('snapshot.create', { volume: 'used', snapshot: 'before' });
    await device.writeAll(0, data);
    await device.close();
    // A leg of an engine elsewhere, and an engine that a host elsewhere may use.
    const lent = await create('lent');
    await client.request('volume.attach', { volume: 'lent', node: 'n2', frontend: 'nbd' });
    const open = await create('open');
    await client.request('volume.attach', { volume: 'open', node: 'n1', frontend: 'nvmf' });
    kinds.set('engine', volumeNqn(used.id)).set('open engine', volumeNqn(open.id));

    const mine = used.replicas.find(({ node }) => node === 'n1');
    if (mine === undefined) throw new Error('n1 has a replica');
    const { snapshots } = await client.request('snapshot.list', { volume: 'used' });
    const of = { replica: mine.id, volume: used.id, snapshot: snapshots[0]?.id ?? '' };
    // A snapshot that a rebuild elsewhere and a reader have open.
    const snapshot = await send('n1', 'rebuild.export-snapshot', { ...of, hostNqn: WRITER });
    await send('n1', 'snapshot.export', { ...of, hostNqn: READER });
    // The other side of a rebuild: a head on a path to its source, and a scratch that is written to, not too fast.
    const { disk } = mine;
    const source = lent.replicas.find(({ node }) => node === 'n2');
    if (source === undefined) throw new Error('n2 has a replica');
    await client.request('snapshot.create', { volume: 'lent', snapshot: 'base' });
    const base = (await client.request('snapshot.list', { volume: 'lent' })).snapshots[0]?.id ?? '';
    const far = await send('n2', 'rebuild.export-snapshot', {
      ...{ replica: source.id, volume: lent.id, snapshot: base, hostNqn: nodeHostNqn('n1') },
    });
    const made = { replica: newReplicaId(), volume: newVolumeId(), disk, sizeBytes: SIZE_BYTES };
    await send('n1', 'rebuild.create-head', { ...made, source: far });
    const scratch = await send('n1', 'rebuild.create-scratch', {
      ...{ ...made, parent: null, hostNqn: WRITER, mibPerSecond: 7 },
    });
    // Copies of images: one that is written, one that others read and a replica stands on.
    const draft = await send('n1', 'image.create-copy', {
      ...{ image: newImageId(), disk, sizeBytes: SIZE_BYTES, hostNqn: WRITER },
    });
    const image = { image: newImageId(), disk };
    await send('n1', 'image.create-copy', { ...image, sizeBytes: SIZE_BYTES, hostNqn: null });
    await send('n1', 'image.seal-copy', image);
    const copy = await send('n1', 'image.export-copy', { ...image, hostNqn: READER });
    await send('n1', 'replica.create', {
      ...{ ...made, replica: newReplicaId(), volume: newVolumeId(), image: image.image },
    });
    for (const [kind, { nqn }] of Object.entries({ snapshot, scratch, copy })) kinds.set(kind, nqn);
    kinds.set('draft', draft.endpoint?.nqn ?? '');
  }

  /** What is not as it was, once all is or time is up; a target that is being put back may not answer. */
  async function missingOf(before: TargetContent): Promise<readonly string[]> {
    let last: readonly string[] = [];
    const look = async (): Promise<true | undefined> => {
      last = await whileOpen(async (target) => differences(before, await contentOf(target))).catch(
        (reason: unknown) => [String(reason)],
      );
      return last.length === 0 ? true : undefined;
    };
    // What is missing then says more than that time is up.
    await until('all to be put back', BOUND_MS, look).catch(() => undefined);
    return last;
  }

  async function readsWhatWasWritten(): Promise<void> {
    const device = await e2e.open('used');
    expect((await device.read(0, SIZE_BYTES)).equals(data)).toBe(true);
    await device.close();
  }

  it('has all of it, by what its target says', async () => {
    const content = await whileOpen((target) => contentOf(target));
    const nqns = new Set(content.subsystems.map(({ nqn }) => nqn));
    const missing = [...kinds].filter(([, nqn]) => !nqns.has(nqn)).map(([kind]) => kind);
    expect(missing).toEqual([]);
    expect(content.raids).toHaveLength(2);
    // Two engines with two paths each, and the source of a head.
    expect(content.controllers).toHaveLength(5);
    expect(content.limits).toHaveLength(2);
  });

  it('has all of it again after its target was killed, and no write is lost', async () => {
    const before = await whileOpen((target) => contentOf(target));
    const pid = pidOfTarget();
    const device = await e2e.open('used');
    const next = randomBytes(SIZE_BYTES);
    await e2e.cluster.kill('n1/target');
    // It waits for the engine, and does not fail.
    await device.writeAll(0, next);
    next.copy(data);
    await device.close();
    expect(pidOfTarget()).not.toBe(pid);
    expect(await missingOf(before)).toEqual([]);
    await readsWhatWasWritten();
    const { endpoint, hostNqns } =
      (await e2e.client.request('volume.get', { volume: 'open' })).attachment ?? {};
    const url = new URL(endpoint ?? '');
    const nqn = url.pathname.slice(1);
    const uuid = before.subsystems.find((one) => one.nqn === nqn)?.namespace ?? '';
    await whileAttached(
      { nqn, traddr: url.hostname, trsvcid: url.port, uuid },
      hostNqns?.[0] ?? '',
      async (host) => {
        await host.write(0, older);
        expect((await host.read(0, MIB)).equals(older)).toBe(true);
      },
    );
  }, 120_000);

  it('has all of it again after agent and target were killed', async () => {
    const before = await whileOpen((target) => contentOf(target));
    await Promise.all([e2e.cluster.kill('n1'), e2e.cluster.kill('n1/target')]);
    expect(await missingOf(before)).toEqual([]);
    const device = await until('the server to be there', BOUND_MS, () =>
      e2e.open('used').catch(() => undefined),
    );
    expect((await device.read(0, SIZE_BYTES)).equals(data)).toBe(true);
    await device.close();
  }, 120_000);
});
