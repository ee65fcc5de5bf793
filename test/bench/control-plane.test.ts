import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHECKOUT } from '@lariat/cli';
import { MIB } from '@lariat/kernel';
import { LariatClient, connectNats } from '@lariat/messaging';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { quantile, ratePerSecond, timeEach } from './quantiles.js';

const run = promisify(execFile);
const lariat = join(CHECKOUT, 'lariat');

let dataDir: string;
let natsUrl: string;
let connection: NatsConnection;
let client: LariatClient;
let echo: ChildProcess;

const print = (line: string): boolean => process.stderr.write(`${line}\n`);

/** Resident memory of every process that has the cluster's data folder or URL on its command line, by its kind. */
function residentMiB(folder: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      if (!(command.includes(folder) || command.includes(natsUrl)) || resident === undefined)
        continue;
      if (command.includes('bench/echo')) continue;
      const kind =
        /(soft-target|node-agent|nbd\/main|nats-server|plugin|cli)/.exec(command)?.[1] ?? 'other';
      found.set(kind, (found.get(kind) ?? 0) + Number(resident) / 1024);
    } catch {
      // The process ended while it was looked at.
    }
  }
  return found;
}

async function messagesInStreams(): Promise<number> {
  const manager = await jetstreamManager(connection);
  let total = 0;
  for await (const stream of manager.streams.list()) total += stream.state.last_seq;
  return total;
}

beforeAll(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'lariat-bench-'));
  await run(lariat, ['up', '--nodes', '3', '--data', dataDir, '--disk-size', '64GiB', '--detach']);
  const { stdout } = await run(lariat, ['status', '--data', dataDir, '--json']);
  ({ natsUrl } = JSON.parse(stdout) as { natsUrl: string });
  connection = await connectNats({
    ...{ servers: natsUrl, name: 'bench', role: { kind: 'admin' } },
    access: { credentials: join(dataDir, 'credentials') },
  });
  client = new LariatClient({ connection, actor: 'bench' });
  echo = spawn(process.execPath, [join(CHECKOUT, 'test', 'dist', 'bench', 'echo.js'), natsUrl], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, LARIAT_NATS_CREDENTIALS: join(dataDir, 'credentials') },
  });
  await new Promise((resolve) => echo.stdout?.once('data', resolve));
  await client.request('volume.create', { name: 'bench', sizeBytes: 64 * MIB, replicas: 3 });
});

afterAll(async () => {
  echo.kill();
  await connection.close();
  await run(lariat, ['down', '--data', dataDir]);
  rmSync(dataDir, { recursive: true, force: true });
});

it('answers volume.get against a bare request on the same connection', async () => {
  const bare: number[] = [];
  const get: number[] = [];
  // In turns, so that both meet the machine in the same state.
  for (let round = 0; round < 5; round += 1) {
    bare.push(
      ...(await timeEach(1000, () =>
        connection.request('bench.echo', '{"volume":"bench"}', { timeout: 5000 }),
      )),
    );
    get.push(...(await timeEach(1000, () => client.request('volume.get', { volume: 'bench' }))));
  }
  const ratio = quantile(get, 0.5) / quantile(bare, 0.5);
  print(
    `request-reply  p50 ${(quantile(bare, 0.5) * 1000).toFixed(0)} us, p99 ${(quantile(bare, 0.99) * 1000).toFixed(0)} us`,
  );
  print(
    `volume.get     p50 ${(quantile(get, 0.5) * 1000).toFixed(0)} us, p99 ${(quantile(get, 0.99) * 1000).toFixed(0)} us`,
  );
  print(`volume.get / request-reply, p50: ${ratio.toFixed(2)} (aim: at most 2)`);
  expect(ratio).toBeGreaterThan(0);
});

it('creates volumes of three replicas against bare JetStream publishes', async () => {
  const js = jetstream(connection);
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: 'BENCH', subjects: ['bench.publish'] });
  const payload = 'x'.repeat(512);
  const publishes = await ratePerSecond(20_000, 64, () => js.publish('bench.publish', payload));
  await manager.streams.delete('BENCH');
  const create = (index: number): Promise<unknown> =>
    client.request('volume.create', { name: `many-${index}`, sizeBytes: MIB, replicas: 3 });
  for (let index = 0; index < 50; index += 1) await create(-index - 1 + 100_000);
  const before = await messagesInStreams();
  const count = 600;
  const sagas = await ratePerSecond(count, 32, create);
  await new Promise((resolve) => {
    // The relay tells the last events a moment later; they belong to the sagas.
    setTimeout(resolve, 1_000);
  });
  const perSaga = ((await messagesInStreams()) - before) / count;
  print(`JetStream publishes/s (512 B, 64 in flight): ${publishes.toFixed(0)}`);
  print(`create sagas/s (3 replicas, 32 in flight): ${sagas.toFixed(0)} (aim: at least 150)`);
  print(`messages stored per create saga: ${perSaga.toFixed(1)} (aim: at most 30)`);
  print(`publishes that fit into the time of one saga: ${(publishes / sagas).toFixed(0)}`);
  expect(perSaga).toBeGreaterThan(0);
});

it.each(['nvmf', 'nbd'] as const)('attaches with frontend %s', async (frontend) => {
  const samples: number[] = [];
  for (let index = 0; index < 15; index += 1) {
    const began = performance.now();
    await client.request('volume.attach', { volume: 'bench', node: 'n1', frontend });
    if (index >= 3) samples.push(performance.now() - began);
    await client.request('volume.detach', { volume: 'bench' });
  }
  print(
    `attach (${frontend}) p50 ${quantile(samples, 0.5).toFixed(0)} ms, max ${Math.max(...samples).toFixed(0)} ms (aim: p50 under 150 ms)`,
  );
  expect(samples).toHaveLength(12);
});

it('fits into a laptop', async () => {
  await client.request('volume.attach', { volume: 'bench', node: 'n1', frontend: 'nbd' });
  const byKind = residentMiB(dataDir);
  const total = [...byKind.values()].reduce((sum, value) => sum + value, 0);
  for (const [kind, value] of byKind) print(`resident ${kind}: ${value.toFixed(0)} MiB`);
  print(
    `resident memory of the whole cluster, one volume attached: ${total.toFixed(0)} MiB (aim: under 900)`,
  );
  await client.request('volume.detach', { volume: 'bench' });
  expect(total).toBeGreaterThan(0);
});
