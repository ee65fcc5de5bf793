import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUCKETS, type ImageView, type RecoveryReport, type VolumeView } from '@lariat/contracts';
import { MIB, newImageId } from '@lariat/kernel';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';
import { nodeCommands } from './node-commands.js';

const IMAGE_BYTES = 4 * MIB;
const SIZE_BYTES = 6 * MIB;

describe('images, when NATS has lost all its data', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'lariat-e2e-'));
  const content = randomBytes(IMAGE_BYTES);
  const sha256 = createHash('sha256')
    .update(content)
    .update(Buffer.alloc(SIZE_BYTES - IMAGE_BYTES))
    .digest('hex');
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({ dataDir });
  });
  afterAll(async () => {
    await e2e.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const image = (name: string): Promise<ImageView> =>
    e2e.client.request('image.get', { image: name });
  const recover = (given: { acceptDataLoss?: string[]; dryRun?: boolean } = {}) =>
    e2e.client.request('cluster.recover', given, { timeoutMs: 60_000 });
  const outcomes = ({ images }: RecoveryReport) =>
    images.map(({ name, outcome, state }) => [name, outcome, state]);
  const readyOn = (name: string, count: number): Promise<ImageView> =>
    until(`${name} to have ${count} copies`, 60_000, async () => {
      const found = await image(name);
      return found.copies.filter(({ state }) => state === 'ready').length === count
        ? found
        : undefined;
    });
  async function create(name: string, labels: Record<string, string> = {}): Promise<ImageView> {
    const path = join(dataDir, `${name}.raw`);
    writeFileSync(path, content);
    const source = { file: { path } };
    await e2e.client.request('image.create', { name, source, labels }, { timeoutMs: 60_000 });
    return readyOn(name, 2);
  }
  async function loseNats(): Promise<void> {
    await e2e.stop('keep');
    rmSync(join(dataDir, 'nats'), { recursive: true });
    e2e = await startE2e({ dataDir });
  }
  const promisedTo = async (found: ImageView): Promise<readonly number[]> => {
    const { disks } = await e2e.client.request('disk.list', {});
    return found.copies.map(({ disk }) => disks.find(({ id }) => id === disk)?.images ?? 0);
  };

  let debian: ImageView;
  let before: VolumeView;

  it('are put back with their copies, before the volumes that name them', async () => {
    debian = await create('debian', { os: 'debian' });
    await create('unused');
    before = await e2e.client.request('volume.create', {
      ...{ name: 'v1', image: 'debian', sizeBytes: SIZE_BYTES, replicas: 2 },
    });
    debian = await image('debian');
    await loseNats();

    const dry = await recover({ dryRun: true });
    expect(outcomes(dry)).toEqual([
      ['debian', 'recovered', 'ready'],
      ['unused', 'recovered', 'ready'],
    ]);
    expect((await e2e.client.request('image.list', {})).images).toEqual([]);
    const report = await recover();
    expect(outcomes(report)).toEqual(outcomes(dry));
    expect(report).toMatchObject({ changed: true, names: 3, imagesOnRecord: 0 });

    const found = await image('debian');
    const lately = (copies: ImageView['copies']) =>
      copies.map((copy) => ({ ...copy, wantedAt: null }));
    expect({ ...found, copies: lately(found.copies) }).toEqual({
      ...debian,
      copies: lately(debian.copies),
    });
    for (const count of await promisedTo(found)) expect(count).toBeGreaterThan(0);
    const again = await recover();
    expect(again).toMatchObject({ changed: false, imagesOnRecord: 2, images: [] });
  }, 120_000);

  it('verify, are in use, and give new volumes their content', async () => {
    const { client } = e2e;
    const verified = await client.request('image.verify', { image: 'debian' });
    expect(verified).toMatchObject({ verdict: 'identical', rootSha256: debian.rootSha256 });
    expect(verified.copies).toHaveLength(debian.copies.length);
    await expect(client.request('image.delete', { image: 'debian' })).rejects.toMatchObject({
      code: 'IMAGE_IN_USE',
    });
    const found = await client.request('volume.get', { volume: 'v1' });
    expect(found).toMatchObject({ id: before.id, image: debian.id, robustness: 'healthy' });
    await client.request('volume.create', {
      ...{ name: 'v2', image: 'debian', sizeBytes: SIZE_BYTES, replicas: 3 },
    });
    for (const volume of ['v1', 'v2']) {
      const sums = await client.request('replica.checksum', { volume });
      expect(sums.identical).toBe(true);
      expect(sums.replicas.map((one) => one.sha256)).toEqual(sums.replicas.map(() => sha256));
    }
    await client.request('volume.delete', { volume: 'v2' });
  }, 120_000);

  it('are not brought back against the wish of who has deleted them while a node was away', async () => {
    const { client, cluster } = e2e;
    const { copies } = await image('unused');
    const away = copies[0]?.node ?? '';
    await cluster.killNode(away);
    await until(`${away} to be down`, 30_000, async () =>
      (await client.request('node.get', { node: away })).state === 'down' ? true : undefined,
    );
    await client.request('image.delete', { image: 'unused' }, { timeoutMs: 60_000 });
    await loseNats();
    const doubtful = await recover();
    expect(outcomes(doubtful)).toEqual([
      ['debian', 'recovered', 'ready'],
      ['unused', 'in-doubt', 'ready'],
    ]);
    expect(doubtful.images[1]?.notes.join()).toContain('is not there any more');
    await expect(image('unused')).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });
    // It is an operator's to say; then it can be used, or deleted for good.
    expect(outcomes(await recover({ acceptDataLoss: ['unused'] }))).toEqual([
      ['unused', 'recovered', 'ready'],
    ]);
    expect((await image('unused')).copies.map(({ node }) => node)).toEqual([away]);
    await e2e.client.request('image.delete', { image: 'unused' }, { timeoutMs: 60_000 });
  }, 120_000);

  it('leave no draft of an import that was lost with its operation', async () => {
    const [disk] = (await e2e.client.request('disk.list', {})).disks;
    const cut = newImageId();
    const draft = { image: cut, disk: disk?.id ?? '', sizeBytes: MIB, hostNqn: null };
    await nodeCommands(e2e.connection)(disk?.node ?? '', 'image.create-copy', draft);
    const { images } = await recover();
    expect(images).toMatchObject([{ id: cut, outcome: 'not-recovered', state: null }]);
    expect(images[0]?.notes.join()).toContain('nobody goes on with the draft');
    expect(await recover()).toMatchObject({ changed: false, imagesOnRecord: 1, images: [] });
  }, 60_000);

  it('are recovered without, and rebuilt whole, where an image is gone for good', async () => {
    const { client } = e2e;
    // As on nodes that kept no records of images, and from a store that has none.
    const kvm = new Kvm(e2e.connection);
    await (await kvm.open(BUCKETS.images)).purge(debian.id);
    await (await kvm.open(BUCKETS.imageNames)).purge('debian');
    const found = await client.request('volume.get', { volume: 'v1' });
    expect(found).toMatchObject({ id: before.id, image: debian.id, robustness: 'healthy' });
    await expect(image(debian.id)).rejects.toMatchObject({ code: 'IMAGE_NOT_FOUND' });

    const [kept, lost] = found.replicas;
    await client.request('replica.remove', { volume: 'v1', replica: lost?.id ?? '' });
    const rebuilt = await client.request(
      'replica.rebuild',
      { volume: 'v1' },
      { timeoutMs: 60_000 },
    );
    expect(rebuilt).toMatchObject({
      robustness: 'healthy',
      rebuilt: { copiedBytes: IMAGE_BYTES },
    });
    const sums = await client.request('replica.checksum', { volume: 'v1' });
    expect(sums.replicas.map((replica) => replica.sha256)).toEqual([sha256, sha256]);

    // What stands on the image keeps it; without a record nothing else is done about its copies.
    const send = nodeCommands(e2e.connection);
    const disk = debian.copies.find(({ node }) => node === kept?.node)?.disk ?? '';
    await expect(
      send(kept?.node ?? '', 'image.delete-copy', { image: debian.id, disk }),
    ).rejects.toMatchObject({ code: 'IMAGE_COPY_IN_USE' });
    const deleted = (await client.request('volume.delete', { volume: 'v1' })) as VolumeView;
    expect(deleted.image).toBe(debian.id);
    const { disks } = await client.request('disk.list', {});
    for (const one of disks)
      await send(one.node, 'image.delete-copy', { image: debian.id, disk: one.id });
    expect(await e2e.leftovers(60_000)).toEqual([]);
  }, 120_000);
});
