import { randomBytes } from 'node:crypto';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e } from './e2e-cluster.js';

const VOLUME_BYTES = 96 * MIB;
const CHUNK_BYTES = MIB;

describe('a full disk', () => {
  let e2e: E2eCluster;
  beforeAll(async () => {
    // Room for the volume once, but not for what a snapshot keeps and all of it written again.
    e2e = await startE2e({ nodes: 2, diskSizeBytes: 160 * MIB });
  });
  afterAll(async () => {
    await e2e.stop();
  });

  it('fails the write that finds no room, and harms nothing that was written before', async () => {
    const { client } = e2e;
    await client.request('volume.create', { name: 'v', sizeBytes: VOLUME_BYTES, replicas: 2 });
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('v');
    const model = randomBytes(VOLUME_BYTES);
    await device.writeAll(0, model);
    await client.request('snapshot.create', { volume: 'v', snapshot: 'full' });

    const refused: number[] = [];
    let message = '';
    for (let offset = 0; offset < VOLUME_BYTES; offset += CHUNK_BYTES) {
      const data = randomBytes(CHUNK_BYTES);
      try {
        await device.write(offset, data);
        data.copy(model, offset);
      } catch (reason) {
        message = toLariatError(reason).message;
        refused.push(offset);
      }
    }
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.length).toBeLessThan(VOLUME_BYTES / CHUNK_BYTES);
    expect(message).toMatch(/no space|ENOSPC/i);

    const found: Buffer[] = [];
    for await (const chunk of device.readAll(0, VOLUME_BYTES)) found.push(chunk);
    const kept = Buffer.concat(found);
    for (let offset = 0; offset < VOLUME_BYTES; offset += CHUNK_BYTES) {
      // A refused write may have changed nothing, all, or some of its blocks: SCSI, NVMe and NBD promise no more.
      if (refused.includes(offset)) continue;
      const end = offset + CHUNK_BYTES;
      expect(kept.subarray(offset, end).equals(model.subarray(offset, end))).toBe(true);
    }
    // A disk without room is no dead replica: taking it out would lose the copy and help nobody.
    expect(await client.request('volume.get', { volume: 'v' })).toMatchObject({
      state: 'attached',
      robustness: 'healthy',
    });
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    for (const snapshot of [{}, { snapshot: 'full' }]) {
      expect(await client.request('replica.checksum', { volume: 'v', ...snapshot })).toMatchObject({
        identical: true,
      });
    }
  });

  it('takes writes again when a snapshot is deleted, and is empty after the volume is', async () => {
    const { client } = e2e;
    await client.request('snapshot.revert', { volume: 'v', snapshot: 'full' });
    await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
    const device = await e2e.open('v');
    const data = randomBytes(CHUNK_BYTES);
    await device.write(VOLUME_BYTES - CHUNK_BYTES, data);
    expect((await device.read(VOLUME_BYTES - CHUNK_BYTES, CHUNK_BYTES)).equals(data)).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume: 'v' });
    await client.request('volume.delete', { volume: 'v' });
    expect(await e2e.leftovers()).toEqual([]);
  });
});
