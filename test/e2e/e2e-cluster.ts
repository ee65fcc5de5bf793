import { readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import {
  type Cluster,
  type ClusterOptions,
  NbdClient,
  findLeftovers,
  startCluster,
  waitForNodes,
} from '@lariat/cli';
import { BUCKETS, type RequestMap, type RequestName } from '@lariat/contracts';
import { MIB, delay } from '@lariat/kernel';
import { LariatClient, connectNats } from '@lariat/messaging';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/nats-core';
import { assertNothingRefused, refusalsIn } from './bus-refusals.js';
import { RecordedFolder } from '../left-over/record.js';

export interface E2eCluster {
  readonly cluster: Cluster;
  readonly connection: NatsConnection;
  readonly client: LariatClient;
  open(volume: string): Promise<NbdClient>;
  leftovers(settleMs?: number): Promise<readonly string[]>;
  /** Entries of the record buckets, by bucket. */
  records(): Promise<Readonly<Record<string, number>>>;
  /** Stops it; rejects when a process of it is left, or NATS has refused something to one. With `keep` its data folder stays, for another start. */
  stop(keep?: 'keep'): Promise<void>;
}

/** Processes that have the folder on their command line. */
export function processesOf(folder: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return command.includes(folder) ? [`${pid} ${command}`] : [];
      } catch {
        // It ended while it was looked at.
        return [];
      }
    });
}

export async function until<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | undefined>,
  /** Longer where a look costs much. */
  pauseMs = 50,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await delay(pauseMs);
  }
}

export async function startE2e(options: Partial<ClusterOptions> = {}): Promise<E2eCluster> {
  const own = options.dataDir === undefined ? RecordedFolder.make('lariat-e2e-') : undefined;
  const dataDir = own?.path ?? options.dataDir ?? '';
  const cluster = await startCluster({
    nodes: 3,
    diskSizeBytes: 512 * MIB,
    ...options,
    dataDir,
    // Tests have their images in folders for temporary files.
    env: {
      LARIAT_IMAGE_FOLDERS: tmpdir(),
      ...(options.env ?? { ...process.env, LARIAT_REBUILD: 'manual' }),
    },
  });
  const { credentials } = cluster.paths;
  // What a test starts beside the cluster finds its own there.
  process.env['LARIAT_NATS_CREDENTIALS'] = credentials;
  const agents = cluster.processes().filter(({ kind }) => kind === 'agent');
  await waitForNodes(
    cluster.natsUrl,
    credentials,
    agents.map(({ name }) => name),
    30_000,
  );
  const connection = await connectNats({
    ...{ servers: cluster.natsUrl, name: 'e2e', access: { credentials } },
    // Tests look into records, and put there what is wrong.
    role: { kind: 'admin' },
  });
  const client = new LariatClient({ connection, actor: 'e2e' });
  const session = {
    connection,
    request: <Name extends RequestName>(
      name: Name,
      body: RequestMap[Name]['request'],
      timeoutMs = 10_000,
    ) => client.request(name, body, { timeoutMs }),
  };
  return {
    cluster,
    connection,
    client,
    open: async (volume) => {
      const { attachment } = await client.request('volume.get', { volume });
      return NbdClient.connect(attachment?.endpoint ?? '');
    },
    leftovers: (settleMs = 20_000) => {
      const nodes = cluster
        .processes()
        .filter(({ kind, state }) => kind === 'agent' && state !== 'stopped')
        .map(({ name }) => name);
      return findLeftovers(session, cluster.paths, nodes, settleMs);
    },
    records: async () => {
      const kvm = new Kvm(connection);
      const counts: Record<string, number> = {};
      for (const bucket of [BUCKETS.volumes, BUCKETS.names]) {
        const kv = await kvm.open(bucket);
        let count = 0;
        // A volume that was removed may stand as a tombstone until its last events are told: that is no record.
        for await (const key of await kv.keys())
          if ((await kv.get(key))?.string().includes('"value":null') !== true) count += 1;
        counts[bucket] = count;
      }
      return counts;
    },
    stop: async (keep) => {
      await connection.close();
      await cluster.stop();
      const left = processesOf(dataDir);
      const refusals = refusalsIn(cluster.paths);
      if (keep === undefined) {
        rmSync(dataDir, { recursive: true, force: true });
        own?.remove();
      }
      if (left.length > 0) throw new Error(`processes are left: ${left.join('; ')}`);
      assertNothingRefused(refusals);
    },
  };
}
