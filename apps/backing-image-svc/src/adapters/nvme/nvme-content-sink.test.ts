import { randomBytes } from 'node:crypto';
import type { NvmfEndpoint } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES as CLUSTER } from '@lariat/kernel';
import { MemoryBlockDevice, NvmeTcpTarget } from '@lariat/nvme-tcp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SlotPool } from '../../domain/slot-pool.js';
import type { ByteReader } from '../../ports/byte-reader.port.js';
import { readAll } from '../../testing/read-all.js';
import { NamespaceSource } from './namespace-source.js';
import { NvmeContentSink } from './nvme-content-sink.js';

const HOST = 'nqn.2024-01.io.lariat:host';
const NQN = 'nqn.2024-01.io.lariat:image';

let target: NvmeTcpTarget;
let device: MemoryBlockDevice;
let endpoint: NvmfEndpoint;
beforeEach(async () => {
  target = new NvmeTcpTarget();
  device = new MemoryBlockDevice({ sizeBytes: 16 * CLUSTER });
  const subsystem = target.addSubsystem({ nqn: NQN });
  subsystem.addHost(HOST);
  subsystem.addNamespace({ device });
  const { traddr, trsvcid } = await subsystem.addListener({ traddr: '127.0.0.1', trsvcid: '0' });
  endpoint = { nqn: NQN, traddr, trsvcid, uuid: device.uuid };
});
afterEach(() => target.close());

const connect = (to = endpoint, sizeBytes = 16 * CLUSTER): Promise<NvmeContentSink> =>
  NvmeContentSink.connect({ endpoint: to, hostNqn: HOST, ctrlrLossTimeoutMs: 1000 }, sizeBytes);

describe('a sink over NVMe/TCP', () => {
  it('writes clusters to their places out of shared memory, many at once', async () => {
    const pool = new SlotPool(16);
    const sink = await connect();
    const content = randomBytes(16 * CLUSTER);
    const writes = Array.from({ length: 16 }, async (_, cluster) => {
      const slot = await pool.take(new AbortController().signal);
      content.copy(slot.bytes, 0, cluster * CLUSTER, (cluster + 1) * CLUSTER);
      await sink.writeCluster(cluster, slot.bytes);
      slot.bytes.fill(0xff);
    });
    await Promise.all(writes);
    await sink.finish();
    await sink.close();
    expect((await device.read(0, 16 * CLUSTER)).equals(content)).toBe(true);
  });

  it('refuses another namespace, and one that is too small', async () => {
    const other = { ...endpoint, uuid: '00000000-0000-4000-8000-000000000000' };
    await expect(connect(other)).rejects.toMatchObject({ code: 'LEG_UNREACHABLE' });
    await expect(connect(endpoint, 17 * CLUSTER)).rejects.toMatchObject({
      code: 'LEG_UNREACHABLE',
    });
  });

  it('fails when the target is gone for too long', async () => {
    const sink = await connect();
    await target.close();
    const write = sink.writeCluster(0, Buffer.alloc(CLUSTER, 1));
    await expect(write).rejects.toHaveProperty('failure', 'gone');
    await sink.close();
  });

  it('has few writes on their way, and goes on after one that fails', async () => {
    let underWay = 0;
    let most = 0;
    const sink = new NvmeContentSink(
      {
        write: async (offsetBytes) => {
          underWay += 1;
          most = Math.max(most, underWay);
          await new Promise((resolve) => setImmediate(resolve));
          underWay -= 1;
          if (offsetBytes === 0) throw new Error('a bad block');
        },
        flush: () => Promise.resolve(),
      },
      () => Promise.resolve(),
    );
    const bytes = Buffer.alloc(CLUSTER);
    const writes = Array.from({ length: 30 }, (_, cluster) => sink.writeCluster(cluster, bytes));
    const outcomes = await Promise.allSettled(writes);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(8);
  });
});

describe('the flushes of a sink', () => {
  const bytes = Buffer.alloc(CLUSTER);
  /** A sink that has written 200 clusters; `flush` is its device's. */
  async function written(flush: () => Promise<void>): Promise<NvmeContentSink> {
    const device = { write: () => Promise.resolve(), flush };
    const sink = new NvmeContentSink(device, () => Promise.resolve());
    for (let cluster = 0; cluster < 200; cluster += 1) await sink.writeCluster(cluster, bytes);
    return sink;
  }

  it('begin beside the writes, one at a time, and the last one after all of them', async () => {
    const ends: (() => void)[] = [];
    const sink = await written(() => new Promise((resolve) => ends.push(resolve)));
    expect(ends).toHaveLength(1);
    const finished = sink.finish();
    ends[0]?.();
    await expect.poll(() => ends.length).toBe(2);
    ends[1]?.();
    await finished;
  });

  it('fail the import, also where the last one goes well', async () => {
    let flushes = 0;
    const sink = await written(() => {
      flushes += 1;
      return flushes === 1 ? Promise.reject(new Error('a bad block')) : Promise.resolve();
    });
    await expect(sink.finish()).rejects.toThrow('a bad block');
    expect(flushes).toBe(3);
  });
});

describe('a namespace as a source', () => {
  const open = (signal: AbortSignal): Promise<ByteReader> =>
    new NamespaceSource('a volume', { endpoint, hostNqn: HOST, ctrlrLossTimeoutMs: 1000 }).open(
      signal,
    );

  it('gives all that is on it, in order', async () => {
    const content = randomBytes(16 * CLUSTER);
    await device.write(0, content);
    const reader = await open(new AbortController().signal);
    expect(reader.totalBytes).toBe(content.length);
    expect((await readAll(reader, 700_001)).equals(content)).toBe(true);
    await reader.close();
  });

  it('ends when it is cancelled, and with its target', async () => {
    const stop = new AbortController();
    const reader = await open(stop.signal);
    stop.abort();
    await expect(reader.read(Buffer.alloc(1))).rejects.toMatchObject({
      code: 'OPERATION_CANCELLED',
    });
    await reader.close();
    const other = await open(new AbortController().signal);
    await target.close();
    await expect(readAll(other)).rejects.toMatchObject({ code: 'IMAGE_SOURCE_LOST' });
    await other.close();
  });
});
