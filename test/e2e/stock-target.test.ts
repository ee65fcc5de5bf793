import { randomBytes } from 'node:crypto';
import { MIB, toLariatError } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RecordedFolder } from '../left-over/record.js';
import { writeStockTarget } from '../stock-target.js';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 4 * MIB;
const BOUND_MS = 60_000;

describe('nodes whose targets have the methods of stock SPDK alone', () => {
  let folder: RecordedFolder;
  let e2e: E2eCluster;
  beforeAll(async () => {
    folder = RecordedFolder.make('lariat-stock-');
    e2e = await startE2e({ target: 'spdk', spdkBin: writeStockTarget(folder.path) });
  }, 180_000);
  afterAll(async () => {
    await e2e.stop();
    folder.remove();
  });

  const codeOf = (work: Promise<unknown>): Promise<string> =>
    work.then(
      () => 'accepted',
      (error: unknown) => toLariatError(error).code,
    );
  const becomes = (volume: string, robustness: string): Promise<true> =>
    until(`${volume} to be ${robustness}`, BOUND_MS, async () =>
      (await e2e.client.request('volume.get', { volume })).robustness === robustness
        ? true
        : undefined,
    );

  it('serve a volume through the loss of a leg, say why it can’t be rebuilt in use, and rebuild it at rest', async () => {
    const { client, cluster } = e2e;
    const volume = 'plain';
    await client.request('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
    expect(await client.request('node.get', { node: 'n1' })).toMatchObject({
      target: expect.stringContaining('SPDK v26.05 methods alone'),
      writeGate: 'device',
    });
    const device = await e2e.open(volume);
    const data = randomBytes(SIZE_BYTES);
    await device.writeAll(0, data);
    await cluster.killNode('n3');
    await becomes(volume, 'degraded');
    await device.writeAll(0, data.reverse());
    await cluster.startNode('n3');
    await until('n3 to be ready', BOUND_MS, async () =>
      (await client.request('node.get', { node: 'n3' })).state === 'ready' ? true : undefined,
    );
    expect(await codeOf(client.request('replica.rebuild', { volume }))).toBe('GATE_MISSING');
    expect(await codeOf(client.request('snapshot.create', { volume, snapshot: 's' }))).toBe(
      'GATE_MISSING',
    );
    expect((await device.read(0, SIZE_BYTES)).equals(data)).toBe(true);
    await device.close();
    await client.request('volume.detach', { volume });
    await client.request('snapshot.create', { volume, snapshot: 's' });
    await client.request('replica.rebuild', { volume });
    await becomes(volume, 'healthy');
    expect(await client.request('replica.checksum', { volume })).toMatchObject({
      identical: true,
    });
    await client.request('volume.delete', { volume });
    expect(await e2e.leftovers()).toEqual([]);
  }, 180_000);
});
