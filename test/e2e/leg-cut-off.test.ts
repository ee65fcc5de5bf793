import { createHash, randomBytes } from 'node:crypto';
import type { NbdClient } from '@lariat/cli';
import { MIB, delay } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from './e2e-cluster.js';

const SIZE_BYTES = 8 * MIB;
const BLOCK_BYTES = 64 * 1024;
const NODES = ['n1', 'n2', 'n3'] as const;
/** One in the first cluster, one over the edge of two, one at the end. */
const OFFSETS = [0, MIB - BLOCK_BYTES / 2, SIZE_BYTES - BLOCK_BYTES];

/**
 * Three nodes hold a volume: the engine's own, one whose target is cut off while data is overwritten, and a third. A
 * target that is stopped stands for a cut: it answers nothing, and when it goes on it still has what was sent before.
 */
describe('a leg that is cut off while data is overwritten, and an engine that dies right after', () => {
  let e2e: E2eCluster;
  const stopped = new Set<number>();
  beforeAll(async () => {
    e2e = await startE2e();
  });
  afterAll(async () => {
    thaw();
    await e2e.stop();
  });

  function thaw(): void {
    for (const pid of stopped) process.kill(pid, 'SIGCONT');
    stopped.clear();
  }

  const freeze = async (name: string): Promise<void> => {
    stopped.add(await e2e.cluster.kill(name, 'SIGSTOP'));
  };

  const overwrite = (device: NbdClient, model: Buffer, data: Buffer): Promise<unknown> =>
    Promise.all(
      OFFSETS.map(async (offset) => {
        await device.write(offset, data);
        data.copy(model, offset);
      }),
    );

  /** A volume attached on n1, its blocks written once; the model says what a reader must find. */
  async function written(volume: string): Promise<{ device: NbdClient; model: Buffer }> {
    const { client } = e2e;
    await client.request('volume.create', { name: volume, sizeBytes: SIZE_BYTES, replicas: 3 });
    await client.request('volume.attach', { volume, node: 'n1', frontend: 'nbd' });
    const device = await e2e.open(volume);
    const model = Buffer.alloc(SIZE_BYTES);
    await overwrite(device, model, randomBytes(BLOCK_BYTES));
    return { device, model };
  }

  /**
   * All is healed, the volume is let go of where its engine died, and attached on each node in turn: what is read is the
   * same each time, and in the end on each replica. Answers it.
   */
  async function readEverywhere(volume: string): Promise<Buffer> {
    const { client, cluster } = e2e;
    thaw();
    await cluster.startNode('n1');
    for (const node of NODES)
      await until(`${node} to be ready`, 30_000, async () => {
        const found = await client
          .request('node.get', { node }, { timeoutMs: 2_000 })
          .catch(() => undefined);
        return found?.state === 'ready' ? true : undefined;
      });
    await client.request('volume.detach', { volume }, { timeoutMs: 60_000 });
    const found: Buffer[] = [];
    for (const node of NODES) {
      const attach = { volume, node, frontend: 'nbd' } as const;
      await client.request('volume.attach', attach, { timeoutMs: 60_000 });
      const device = await e2e.open(volume);
      found.push(await contentOf(device));
      await device.close();
      await mend(volume);
      await client.request('volume.detach', { volume });
    }
    const sums = await client.request('replica.checksum', { volume });
    const [first = Buffer.alloc(0)] = found;
    const sha256 = createHash('sha256').update(first).digest('hex');
    expect(found.map((data) => data.equals(first))).toEqual([true, true, true]);
    expect(sums.replicas.map((sum) => sum.sha256)).toEqual([sha256, sha256, sha256]);
    await client.request('volume.delete', { volume });
    expect(await e2e.leftovers(40_000)).toEqual([]);
    return first;
  }

  async function mend(volume: string): Promise<void> {
    const { client } = e2e;
    await until('all replicas to be in sync', 60_000, async () => {
      const view = await client.request('volume.get', { volume });
      if (view.robustness === 'healthy') return true;
      if (view.operation === null)
        await client
          .request('replica.rebuild', { volume }, { timeoutMs: 60_000 })
          .catch(() => undefined);
      return undefined;
    });
  }

  it('loses none of the data that was acknowledged after the cut, on any leg', async () => {
    const { device, model } = await written('v');
    await freeze('n2/target');
    // Acknowledged once the leg's loss is on record.
    await overwrite(device, model, randomBytes(BLOCK_BYTES));
    await e2e.cluster.killNode('n1');
    await device.close();
    expect((await readEverywhere('v')).equals(model)).toBe(true);
  }, 180_000);

  it('loses none either when NATS was stopped before the cut, and acknowledges nothing that could be lost', async () => {
    const { device, model } = await written('w');
    await freeze('nats');
    // All legs are there: nothing has to be recorded.
    await overwrite(device, model, randomBytes(BLOCK_BYTES));
    await freeze('n2/target');
    const [offset = 0] = OFFSETS;
    const late = randomBytes(BLOCK_BYTES);
    let acknowledged = false;
    const writing = device.write(offset, late).then(
      () => {
        acknowledged = true;
      },
      () => undefined,
    );
    // Long enough for the engine to drop the leg, and to acknowledge the write if it were going to.
    await Promise.race([writing, delay(4_000)]);
    await e2e.cluster.killNode('n1');
    await device.close();
    await writing;
    expect(acknowledged).toBe(false);
    // The late write may have happened or not, whole or in part, but everywhere alike.
    const possible = Buffer.from(model);
    late.copy(possible, offset);
    const found = await readEverywhere('w');
    expect(found.every((byte, at) => byte === model[at] || byte === possible[at])).toBe(true);
  }, 180_000);
});

async function contentOf(device: NbdClient): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of device.readAll(0, SIZE_BYTES)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
