import { createServer, type Server } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cluster, startCluster, waitForNodes } from '@lariat/cli';
import { GIB, MIB } from '@lariat/kernel';
import { LariatClient, connectNats } from '@lariat/messaging';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { quantile, ratePerSecond } from './quantiles.js';

const NODES = ['n1', 'n2', 'n3'];
const ROUNDS = 5;
const CREATES = 100;
const IN_FLIGHT = 32;
const AIM = 0.85;

interface Measured {
  readonly cluster: Cluster;
  readonly connection: NatsConnection;
  readonly client: LariatClient;
  readonly rates: number[];
}

/** Takes spans and metrics and looks at nothing: what a collector costs is its own affair. */
let collector: Server;
let taken = 0;
let folder: string;
const clusters: Measured[] = [];

async function start(name: string, env: Readonly<Record<string, string>>): Promise<Measured> {
  const cluster = await startCluster({
    dataDir: join(folder, name),
    ...{ nodes: NODES.length, diskSizeBytes: 64 * GIB },
    env: { ...process.env, ...env },
  });
  const { credentials } = cluster.paths;
  await waitForNodes(cluster.natsUrl, credentials, NODES, 60_000);
  const connection = await connectNats({
    ...{ servers: cluster.natsUrl, name: 'bench', access: { credentials } },
  });
  const client = new LariatClient({ connection, actor: 'bench' });
  return { cluster, connection, client, rates: [] };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-bench-'));
  collector = createServer((request, response) => {
    request.on('data', (data: Buffer) => (taken += data.length));
    request.on('end', () =>
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}'),
    );
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => collector.once('listening', resolve));
  const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  clusters.push(await start('without', {}));
  clusters.push(await start('with', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }));
});

afterAll(async () => {
  for (const { connection, cluster } of clusters) {
    await connection.close();
    await cluster.stop();
  }
  collector.closeAllConnections();
  collector.close();
  rmSync(folder, { recursive: true, force: true });
});

it('creates volumes as fast with a collector as without, or nearly', async () => {
  // In turns, so that both meet the machine in the same state; the first of each only warms up.
  for (let round = 0; round <= ROUNDS; round += 1)
    for (const { client, rates } of clusters) {
      const rate = await ratePerSecond(CREATES, IN_FLIGHT, (index) =>
        client.request(
          'volume.create',
          { name: `v-${round}-${index}`, sizeBytes: MIB, replicas: 3 },
          { timeoutMs: 60_000 },
        ),
      );
      if (round > 0) rates.push(rate);
    }
  const [without = 0, traced = 0] = clusters.map(({ rates }) => quantile(rates, 0.5));
  const told = clusters.map(({ rates }) => rates.map((rate) => rate.toFixed(0)).join(', '));
  process.stderr.write(`create sagas/s without a collector: ${told[0]}\n`);
  process.stderr.write(`create sagas/s with traces and metrics sent: ${told[1]}\n`);
  process.stderr.write(
    `with / without, medians: ${(traced / without).toFixed(2)} (aim: at least ${AIM})\n`,
  );
  expect(taken).toBeGreaterThan(0);
  expect(traced).toBeGreaterThan(0);
});
