import { NvmeTcpHost } from '@lariat/nvme-tcp';
import { pattern } from '../../contract/support/pattern.js';
import { type Digests, splitPdus } from './pdus.js';
import { TcpRelay } from './tcp-relay.js';

/** What a well-behaved host sent: the PDUs of its admin queue's connection, and of its I/O queue's. */
export interface RecordedSession {
  readonly digests: Digests;
  readonly admin: readonly Buffer[];
  readonly io: readonly Buffer[];
}

const BLOCK = 4096;

/** Connects as a host does, reads, writes in a capsule and by R2T, zeroes, unmaps, flushes, and shuts down. */
export async function recordSession(
  port: string,
  subnqn: string,
  digests: Digests,
): Promise<RecordedSession> {
  const streams: Buffer[][] = [];
  const relay = await TcpRelay.start(port, () => {
    const stream: Buffer[] = [];
    streams.push(stream);
    return {
      toTarget: (chunk) => {
        stream.push(Buffer.from(chunk));
        return [chunk];
      },
      toHost: (chunk) => [chunk],
    };
  });
  const controller = await NvmeTcpHost.connect({
    ...{ traddr: '127.0.0.1', trsvcid: relay.port, subnqn },
    hostnqn: 'nqn.2026-01.io.lariat:recorded',
    headerDigest: digests.header,
    dataDigest: digests.data,
    queueDepth: 32,
  });
  const [device] = controller.namespaces();
  if (device === undefined) throw new Error(`${subnqn} has no namespace`);
  await device.write(0, pattern(BLOCK));
  await device.write(16 * BLOCK, pattern(5 * BLOCK));
  await device.read(0, 8 * BLOCK);
  await device.writeZeroes(2 * BLOCK, 4 * BLOCK);
  await device.unmap(8 * BLOCK, 8 * BLOCK);
  await device.flush();
  await Promise.all([device.read(0, BLOCK), device.write(BLOCK, pattern(4 * BLOCK))]);
  await controller.close();
  await relay.close();
  const [admin, io] = streams.map((stream) => splitPdus(Buffer.concat(stream)).pdus);
  if (admin === undefined || io === undefined) throw new Error('the host made no two connections');
  return { digests, admin, io };
}
