import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type NbdClient, programFile } from '@lariat/cli';
import { MIB, delay, newReplicaId, newVolumeId } from '@lariat/kernel';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type E2eCluster, startE2e, until } from '../e2e/e2e-cluster.js';
import { type SendToNode, nodeCommands } from '../e2e/node-commands.js';
import { quantile } from './quantiles.js';

const EXPORTED = 250;
const LVOLS = 1000;
const AT_ONCE = 16;
const ROUNDS = 3;
const IDLE_MS = 20_000;
/** Of /proc/<pid>/stat: USER_HZ is 100 on every Linux that matters. */
const TICKS_PER_SECOND = 100;
const BLOCK_BYTES = 4096;
const BIN = programFile('apps', 'node-agent', 'dist', 'main.js');

const print = (line: string): boolean => process.stderr.write(`${line}\n`);

let e2e: E2eCluster;
let send: SendToNode;
const folder = mkdtempSync(join(tmpdir(), 'lariat-bench-'));
const agents = new Map<string, ChildProcess>();

/** Starts a node's agent by hand, and its target with it; answers when it said that it is ready, in ms. */
async function startAgent(node: string): Promise<{ readyMs: number; targetPid: number }> {
  const log = openSync(join(folder, `${node}.log`), 'a');
  await e2e.cluster.admitNode(node);
  const began = performance.now();
  const child = spawn(
    process.execPath,
    [
      ...[BIN, '--node', node, '--nats', e2e.cluster.natsUrl, '--disk', 'd1=1GiB'],
      ...['--data', join(folder, node)],
    ],
    { stdio: ['ignore', 'pipe', log] },
  );
  agents.set(node, child);
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) {
    if (!line.startsWith('{"ready"')) continue;
    const readyMs = performance.now() - began;
    return { readyMs, targetPid: (JSON.parse(line) as { targetPid: number }).targetPid };
  }
  throw new Error(`the agent of ${node} ended; see ${folder}/${node}.log`);
}

async function end(node: string, signal: NodeJS.Signals): Promise<void> {
  const child = agents.get(node);
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

const pidOf = (node: string): number => agents.get(node)?.pid ?? 0;

function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

async function sideBySide(count: number, work: () => Promise<unknown>): Promise<void> {
  let begun = 0;
  const worker = async (): Promise<void> => {
    while (begun < count) {
      begun += 1;
      await work();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function diskOf(node: string): Promise<string> {
  return until(`the disk of ${node}`, 30_000, async () => {
    const { disks } = await e2e.client.request('disk.list', {});
    return disks.find((disk) => disk.node === node)?.id;
  });
}

async function makeReplica(node: string, disk: string, isExported: boolean): Promise<void> {
  const of = { replica: newReplicaId(), volume: newVolumeId() };
  await send(node, 'replica.create', { ...of, disk, sizeBytes: 64 * MIB });
  if (!isExported) return;
  const hostNqns = ['nqn.2026-01.io.lariat:bench'];
  await send(node, 'replica.export', { ...of, epoch: 1, hostNqns });
}

beforeAll(async () => {
  e2e = await startE2e({ nodes: 3 });
  send = nodeCommands(e2e.connection);
});
afterAll(async () => {
  for (const node of agents.keys()) await end(node, 'SIGTERM');
  await e2e.stop();
  rmSync(folder, { recursive: true, force: true });
});

it(`an agent with ${2 * EXPORTED} records is ready`, async () => {
  for (const node of ['empty', 'full']) await startAgent(node);
  const disk = await diskOf('full');
  await sideBySide(EXPORTED, () => makeReplica('full', disk, true));
  const tookMs = { empty: [] as number[], full: [] as number[], adopted: [] as number[] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const node of ['empty', 'full'] as const) {
      await end(node, 'SIGTERM');
      tookMs[node].push((await startAgent(node)).readyMs);
    }
    await end('full', 'SIGKILL');
    tookMs.adopted.push((await startAgent('full')).readyMs);
  }
  const p50 = (samples: readonly number[]): number => quantile(samples, 0.5);
  const ratio = p50(tookMs.full) / p50(tookMs.empty);
  print(
    `ready with ${2 * EXPORTED} records, p50 of ${ROUNDS}: ${p50(tookMs.full).toFixed(0)} ms (aim: under 3000), ` +
      `${ratio.toFixed(2)} times that of one without; its target running already: ${p50(tookMs.adopted).toFixed(0)} ms`,
  );
  expect(agents.size).toBe(2);
}, 600_000);

it(`an agent with ${LVOLS} lvols that has nothing to do`, async () => {
  const disk = await diskOf('full');
  await sideBySide(LVOLS - EXPORTED, () => makeReplica('full', disk, false));
  const before = { empty: cpuMs(pidOf('empty')), full: cpuMs(pidOf('full')) };
  await delay(IDLE_MS);
  const share = (node: 'empty' | 'full'): number =>
    (100 * (cpuMs(pidOf(node)) - before[node])) / IDLE_MS;
  print(
    `an idle agent with ${LVOLS} lvols takes ${share('full').toFixed(1)} % of a core (aim: under 5), one without ${share('empty').toFixed(1)} %`,
  );
  expect(share('full')).toBeGreaterThan(0);
}, 600_000);

/** Writes block after block until it is stopped; answers how long the longest took, in ms. */
function writeOn(device: NbdClient): () => Promise<number> {
  let isOver = false;
  let longestMs = 0;
  const data = randomBytes(BLOCK_BYTES);
  const writing = (async () => {
    for (let block = 0; !isOver; block = (block + 1) % 256) {
      const began = performance.now();
      await device.write(block * BLOCK_BYTES, data);
      longestMs = Math.max(longestMs, performance.now() - began);
    }
  })();
  return async () => {
    isOver = true;
    await writing;
    return longestMs;
  };
}

it('a writer while the target of its engine is started anew, or killed', async () => {
  const { client, cluster } = e2e;
  for (const node of ['empty', 'full']) {
    await client.request('node.cordon', { node });
    await end(node, 'SIGTERM');
  }
  await client.request('volume.create', { name: 'v', sizeBytes: 64 * MIB, replicas: 3 });
  await client.request('volume.attach', { volume: 'v', node: 'n1', frontend: 'nbd' });
  const device = await e2e.open('v');
  const restarts: Readonly<Record<string, (node: string) => Promise<unknown>>> = {
    'started anew': (node) =>
      client.request('node.restart-target', { node }, { timeoutMs: 90_000 }),
    killed: (node) => cluster.kill(`${node}/target`),
  };
  const bare: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    await end('empty', 'SIGTERM');
    bare.push((await startAgent('empty')).readyMs);
  }
  await end('empty', 'SIGTERM');
  print(
    `an agent and its target, from nothing, p50 of ${ROUNDS}: ${quantile(bare, 0.5).toFixed(0)} ms`,
  );
  for (const [how, restart] of Object.entries(restarts)) {
    for (const [node, what] of [
      ['n1', 'its engine'],
      ['n2', 'one of its legs'],
    ] as const) {
      const longestMs: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        await until('the volume to be whole', 60_000, async () =>
          (await client.request('volume.get', { volume: 'v' })).robustness === 'healthy'
            ? true
            : (await client
                .request('replica.rebuild', { volume: 'v' }, { timeoutMs: 60_000 })
                .catch(() => undefined)) && undefined,
        );
        const stop = writeOn(device);
        await delay(500);
        await restart(node);
        await delay(1_000);
        longestMs.push(await stop());
      }
      print(
        `longest write while the target with ${what} is ${how}, p50 of ${ROUNDS}: ${quantile(longestMs, 0.5).toFixed(0)} ms, ` +
          `longest ${Math.max(...longestMs).toFixed(0)} ms (aim: under 2000)`,
      );
      expect(longestMs).toHaveLength(ROUNDS);
    }
  }
  await device.close();
  await client.request('volume.detach', { volume: 'v' });
}, 900_000);
