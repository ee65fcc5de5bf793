import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NbdClient } from '@lariat/cli';
import {
  type Inventory,
  type NodeRegistration,
  type VolumeView,
  inventorySubject,
  nodeRequestSubject,
} from '@lariat/contracts';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const UUID = '11111111-1111-4111-8111-111111111111';
const SIZE_BYTES = 8 * MIB;
const BLOCK_BYTES = 64 * 1024;
const BLOCKS = SIZE_BYTES / BLOCK_BYTES;

/** Writes until the volume goes away; knows of each block what was acknowledged last, and what was on its way. */
class Writer {
  readonly acknowledged = new Map<number, Buffer>();
  readonly underWay = new Map<number, Buffer>();
  private readonly ended: Promise<void>;

  constructor(private readonly device: NbdClient) {
    this.ended = this.write();
  }

  private async write(): Promise<void> {
    for (let at = 0; ; at = (at + 1) % BLOCKS) {
      const data = randomBytes(BLOCK_BYTES);
      this.underWay.set(at, data);
      try {
        await this.device.write(at * BLOCK_BYTES, data);
      } catch {
        // The cluster is being stopped: this write was never acknowledged.
        return;
      }
      this.underWay.delete(at);
      this.acknowledged.set(at, data);
    }
  }

  /** Resolves when the device has failed a write. */
  async end(): Promise<void> {
    await this.ended;
    await this.device.close();
  }

  /** Blocks that read neither as what was acknowledged nor as what was on its way. */
  async wrongBlocks(device: NbdClient): Promise<readonly number[]> {
    const wrong: number[] = [];
    for (const [at, data] of this.acknowledged) {
      const read = await device.read(at * BLOCK_BYTES, BLOCK_BYTES);
      if (!read.equals(data) && this.underWay.get(at)?.equals(read) !== true) wrong.push(at);
    }
    return wrong;
  }
}

describe('a cluster whose NATS has lost all its data', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'lariat-e2e-'));
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({ dataDir });
  });
  afterAll(async () => {
    await e2e.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const volume = (name: string): Promise<VolumeView> =>
    e2e.client.request('volume.get', { volume: name });
  const attach = (name: string, node: string): Promise<VolumeView> =>
    e2e.client.request('volume.attach', { volume: name, node, frontend: 'nbd' });
  const detach = (name: string): Promise<VolumeView> =>
    e2e.client.request('volume.detach', { volume: name });
  const snapshots = async (name: string) =>
    (await e2e.client.request('snapshot.list', { volume: name })).snapshots;
  const ready = (node: string): Promise<true> =>
    until(`${node} to be ready`, 30_000, async () =>
      (await e2e.client.request('node.get', { node })).state === 'ready' ? true : undefined,
    );
  /** Longer than what is a stray may stay: each node has told what it has this often. */
  const inventories = async (count: number): Promise<void> => {
    const told = new Map<string, number>();
    const subscription = e2e.connection.subscribe(inventorySubject('*'));
    for await (const message of subscription) {
      const { node } = message.json<Inventory>();
      told.set(node, (told.get(node) ?? 0) + 1);
      if (told.size === 3 && [...told.values()].every((times) => times >= count)) break;
    }
  };

  /** The agent has heard what is set on its node: it tells so itself. */
  const registered = async (name: string): Promise<void> => {
    const subscription = e2e.connection.subscribe(
      nodeRequestSubject('internal.node.register', '*'),
    );
    for await (const message of subscription) {
      const registration = message.json<NodeRegistration>();
      if (registration.name === name && registration.kept?.schedulable === false) break;
    }
  };

  const clean = Buffer.alloc(SIZE_BYTES);
  const old = Buffer.alloc(SIZE_BYTES);
  const lonely = randomBytes(MIB);
  let writer: Writer;
  let before: {
    readonly clean: VolumeView;
    readonly snapshots: Awaited<ReturnType<typeof snapshots>>;
  };

  it('had volumes: one degraded, one clean with snapshots, one that is written to when all stops', async () => {
    const { client, cluster } = e2e;
    // Three replicas; the one on n3 misses what is written while its node is dead.
    await client.request('volume.create', { name: 'degraded', sizeBytes: SIZE_BYTES, replicas: 3 });
    await attach('degraded', 'n1');
    const device = await e2e.open('degraded');
    await device.write(0, randomBytes(MIB));
    await cluster.killNode('n3');
    await device.write(0, lonely);
    await device.close();
    expect((await volume('degraded')).robustness).toBe('degraded');
    await cluster.startNode('n3');
    await ready('n3');
    await detach('degraded');

    await client.request('volume.create', { name: 'clean', sizeBytes: SIZE_BYTES, replicas: 2 });
    const { replicas } = await volume('clean');
    const node = replicas[0]?.node ?? '';
    const attached = await client.request('volume.attach', {
      ...{ volume: 'clean', node, frontend: 'nbd', keepsContent: true },
    });
    expect(attached.content).toEqual({ state: 'blank' });
    const { epoch = 0 } = attached.attachment ?? {};
    const told = { volume: 'clean', epoch, fsType: 'ext4', uuid: UUID } as const;
    await client.request('internal.volume.set-content', { ...told, event: 'intend-format' });
    await client.request('internal.volume.set-content', { ...told, event: 'formatted' });
    const other = await e2e.open('clean');
    randomBytes(MIB).copy(old, MIB);
    await other.write(0, old);
    await client.request('snapshot.create', { volume: 'clean', snapshot: 'first' });
    old.copy(clean);
    randomBytes(4096).copy(clean, MIB + 4096);
    await other.write(0, clean);
    await client.request('snapshot.create', { volume: 'clean', snapshot: 'second' });
    await other.close();
    await detach('clean');

    await client.request('volume.create', { name: 'busy', sizeBytes: SIZE_BYTES, replicas: 3 });
    await attach('busy', 'n2');
    writer = new Writer(await e2e.open('busy'));
    await until('the first round of writes', 30_000, () =>
      Promise.resolve(writer.acknowledged.size === BLOCKS ? true : undefined),
    );
    await client.request('snapshot.create', { volume: 'busy', snapshot: 'in-use' });
    await client.request('node.update', { node: 'n1', tags: ['fast'], schedulable: false });
    await registered('n1');
    before = { clean: await volume('clean'), snapshots: await snapshots('clean') };
    expect(before.clean.content).toEqual({ state: 'initialised', fsType: 'ext4', uuid: UUID });
    // Who attached it keeps no record of what is written.
    expect((await volume('busy')).content).toEqual({ state: 'foreign' });
  }, 120_000);

  it('finds nothing on record when it starts again, and sweeps nothing away', async () => {
    const { nats } = e2e.cluster.paths;
    await e2e.stop('keep');
    await writer.end();
    rmSync(nats, { recursive: true, force: true });
    e2e = await startE2e({ dataDir });
    expect((await e2e.client.request('volume.list', {})).volumes).toEqual([]);
    await inventories(3);
  }, 120_000);

  it('says in a dry run what can be put back, and changes nothing', async () => {
    const report = await e2e.client.request('cluster.recover', { dryRun: true });
    expect(report).toMatchObject({ dryRun: true, changed: true, onRecord: 0 });
    expect(report.volumes.map(({ name, outcome }) => [name, outcome])).toEqual([
      ['busy', 'recovered'],
      ['clean', 'recovered'],
      ['degraded', 'recovered'],
    ]);
    expect((await e2e.client.request('volume.list', {})).volumes).toEqual([]);
  });

  it('puts them back from the nodes, with their snapshots and states', async () => {
    const { client } = e2e;
    const report = await client.request('cluster.recover', {}, { timeoutMs: 60_000 });
    expect(report).toMatchObject({ dryRun: false, changed: true, names: 3, allocations: 8 });
    expect(report.volumes.map(({ outcome }) => outcome)).toEqual(Array(3).fill('recovered'));
    expect(await volume('clean')).toEqual(before.clean);
    expect(await snapshots('clean')).toEqual(before.snapshots);
    expect((await snapshots('busy')).map(({ name }) => name)).toEqual(['in-use']);

    const degraded = await volume('degraded');
    expect(degraded).toMatchObject({ state: 'detached', robustness: 'degraded' });
    expect(degraded.replicas.find(({ node }) => node === 'n3')?.mode).toBe('ERR');
  });

  it('has all its data: what was acknowledged is read, and nothing of a replica that had missed it', async () => {
    const { client } = e2e;
    expect(await volume('busy')).toMatchObject({ state: 'attached', attachment: { node: 'n2' } });
    // It tells of the legs that it goes on without before it lets anybody in.
    const busy = await until('its engine to be back', 30_000, () =>
      e2e.open('busy').catch(() => undefined),
    );
    expect(await writer.wrongBlocks(busy)).toEqual([]);
    await busy.write(0, randomBytes(BLOCK_BYTES));
    await busy.close();
    await detach('busy');

    // On the very node whose replica had missed the last writes.
    await attach('degraded', 'n3');
    const degraded = await e2e.open('degraded');
    expect((await degraded.read(0, MIB)).equals(lonely)).toBe(true);
    await degraded.close();
    await client.request('replica.rebuild', { volume: 'degraded' }, { timeoutMs: 60_000 });
    await detach('degraded');
    expect((await volume('degraded')).robustness).toBe('healthy');

    // The other node is cordoned, as it was before: it gets no engine.
    const first = (await volume('clean')).replicas.find(({ node }) => node !== 'n1');
    await attach('clean', first?.node ?? '');
    const device = await e2e.open('clean');
    expect((await device.read(0, SIZE_BYTES)).equals(clean)).toBe(true);
    await device.close();
    await detach('clean');
    await client.request('snapshot.revert', { volume: 'clean', snapshot: 'first' });
    await attach('clean', first?.node ?? '');
    const reverted = await e2e.open('clean');
    expect((await reverted.read(0, SIZE_BYTES)).equals(old)).toBe(true);
    await reverted.close();
    await detach('clean');
    for (const name of ['degraded', 'clean', 'busy']) {
      const sums = await client.request('replica.checksum', { volume: name });
      expect({ name, ...sums }).toMatchObject({ name, identical: true });
    }
  }, 120_000);

  it('keeps what an operator had set on its nodes', async () => {
    const node = await e2e.client.request('node.get', { node: 'n1' });
    expect(node).toMatchObject({ tags: ['fast'], schedulable: false, duty: 'cordoned' });
    await e2e.client.request('node.uncordon', { node: 'n1' });
  });

  it('finds nothing more to do, and says so', async () => {
    for (const dryRun of [true, false]) {
      const report = await e2e.client.request('cluster.recover', { dryRun });
      expect(report).toMatchObject({ changed: false, onRecord: 3, volumes: [] });
    }
  });

  it('leaves a volume faulted while the last of its replicas may be away, and nothing can use it', async () => {
    const { nats } = e2e.cluster.paths;
    await until('all replicas to be in sync', 60_000, async () => {
      const { robustness } = await volume('busy');
      if (robustness === 'healthy') return true;
      const rebuild = { volume: 'busy' };
      await e2e.client.request('replica.rebuild', rebuild, { timeoutMs: 60_000 });
      return undefined;
    });
    await attach('busy', 'n1');
    await e2e.stop('keep');
    rmSync(nats, { recursive: true, force: true });
    e2e = await startE2e({ dataDir });
    await e2e.cluster.killNode('n3');
    await until('n3 to be down', 30_000, async () =>
      (await e2e.client.request('node.get', { node: 'n3' })).state === 'down' ? true : undefined,
    );
    const doubtful = await e2e.client.request('cluster.recover', {}, { timeoutMs: 60_000 });
    const busy = doubtful.volumes.find(({ name }) => name === 'busy');
    expect(busy).toMatchObject({ outcome: 'in-doubt', robustness: 'faulted' });
    expect(busy?.notes.join()).toContain("'n3'");
    const refused = await detach('busy').catch(toLariatError);
    expect(refused).toMatchObject({ code: 'VOLUME_IN_DOUBT' });

    await e2e.cluster.startNode('n3');
    await ready('n3');
    const settled = await e2e.client.request('cluster.recover', {}, { timeoutMs: 60_000 });
    expect(settled.volumes.find(({ name }) => name === 'busy')).toMatchObject({
      outcome: 'recovered',
    });
    await detach('busy');
    for (const name of ['degraded', 'clean', 'busy'])
      await e2e.client.request('volume.delete', { volume: name });
    expect(await e2e.leftovers()).toEqual([]);
  }, 180_000);
});
