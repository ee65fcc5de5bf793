import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { VolumeView } from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';
import { nodeCommands } from './node-commands.js';

const IMAGE_BYTES = 4 * MIB;
const SIZE_BYTES = 6 * MIB;

describe('a volume whose image is gone for good, with all that was on record', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'lariat-e2e-'));
  const content = randomBytes(IMAGE_BYTES);
  let e2e: E2eCluster;
  beforeAll(async () => {
    e2e = await startE2e({ dataDir });
  });
  afterAll(async () => {
    await e2e.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('is recovered with its image, and rebuilt without', async () => {
    const path = join(dataDir, 'disk.raw');
    writeFileSync(path, content);
    const image = await e2e.client.request(
      'image.create',
      { name: 'debian', source: { file: { path } } },
      { timeoutMs: 60_000 },
    );
    const before = await e2e.client.request('volume.create', {
      ...{ name: 'v1', image: 'debian', sizeBytes: SIZE_BYTES, replicas: 2 },
    });
    const { copies } = await e2e.client.request('image.get', { image: 'debian' });

    await e2e.stop('keep');
    rmSync(join(dataDir, 'nats'), { recursive: true });
    e2e = await startE2e({ dataDir });
    const { client } = e2e;
    await client.request('cluster.recover', {}, { timeoutMs: 60_000 });
    const found = await client.request('volume.get', { volume: 'v1' });
    expect(found).toMatchObject({ id: before.id, image: image.id, robustness: 'healthy' });
    await expect(client.request('image.get', { image: image.id })).rejects.toMatchObject({
      code: 'IMAGE_NOT_FOUND',
    });

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
    const sha256 = createHash('sha256')
      .update(content)
      .update(Buffer.alloc(SIZE_BYTES - IMAGE_BYTES))
      .digest('hex');
    expect(sums.replicas.map((replica) => replica.sha256)).toEqual([sha256, sha256]);

    // What stands on the image keeps it; without a record nothing else is done about its copies.
    const send = nodeCommands(e2e.connection);
    const disk = copies.find(({ node }) => node === kept?.node)?.disk ?? '';
    await expect(
      send(kept?.node ?? '', 'image.delete-copy', { image: image.id, disk }),
    ).rejects.toMatchObject({ code: 'IMAGE_COPY_IN_USE' });
    const deleted = (await client.request('volume.delete', { volume: 'v1' })) as VolumeView;
    expect(deleted.image).toBe(image.id);
    for (const copy of copies)
      await send(copy.node, 'image.delete-copy', { image: image.id, disk: copy.disk });
    expect(await e2e.leftovers(60_000)).toEqual([]);
  });
});
