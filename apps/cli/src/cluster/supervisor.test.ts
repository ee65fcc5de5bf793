import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LariatError } from '@lariat/kernel';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readClusterFile } from './cluster-file.js';
import { askSupervisor } from './control.js';
import type { LaunchPlan } from './launch-plan.js';
import { clusterPaths, type ClusterPaths } from './paths.js';
import { identify, isRunning, type ProcessIdentity, waitForEnd } from './process-identity.js';
import { waitForReadyLine } from './ready.js';
import { stopRemains } from './remains.js';
import { type Cluster, startCluster } from './start-cluster.js';
import type { ProcessSpec, ProcessTiming } from './supervised-process.js';

/** Says that it is ready, notes when it is told to stop, and may refuse to. */
const CHILD = `
const { appendFileSync } = require('node:fs');
const [name, journal, mode] = process.argv.slice(1);
process.on('SIGTERM', () => {
  appendFileSync(journal, name + '\\n');
  if (mode !== 'stubborn') process.exit(0);
});
if (mode === 'broken') { console.log('it cannot work'); process.exit(3); }
console.log(JSON.stringify({ ready: true, name }));
setInterval(() => {}, 1000);
`;

const TIMING: ProcessTiming = {
  backoff: { initialMs: 5, maxMs: 20, factor: 2 },
  steadyMs: 50,
  maxFirstDeaths: 2,
};

let folder: string;
let paths: ClusterPaths;
let journal: string;
let running: Cluster | undefined;
const modes = new Map<string, string>();
const said: string[] = [];

function spec(name: string, kind: ProcessSpec['kind'], serving?: () => void): ProcessSpec {
  const logPath = paths.log(name);
  return {
    name,
    kind,
    command: process.execPath,
    args: ['-e', CHILD, name, journal, modes.get(name) ?? ''],
    env: process.env,
    logPath,
    stopGraceMs: 300,
    ready: async ({ logOffset, signal }) => {
      await waitForReadyLine(logPath, logOffset, signal);
      serving?.();
    },
  };
}

const plan: LaunchPlan = {
  nats: (_port, serving) => spec('nats', 'nats', () => serving('nats://127.0.0.1:4222')),
  plugins: () => [spec('services', 'plugin')],
  agent: (_url, node) => spec(node.name, 'agent'),
};

async function start(nodes = 2): Promise<Cluster> {
  running = await startCluster({
    dataDir: folder,
    nodes,
    plan,
    timing: TIMING,
    said: (line) => said.push(line),
  });
  return running;
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 5_000;
  while (!isSo()) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const recordOf = (cluster: Cluster, name: string) =>
  cluster.processes().find((record) => record.name === name);

function identityOf(cluster: Cluster, name: string): ProcessIdentity {
  const record = recordOf(cluster, name);
  if (record === undefined || record.pid === null) throw new Error(`${name} does not run`);
  return { pid: record.pid, startTime: record.startTime };
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lariat-supervisor-'));
  paths = clusterPaths(folder);
  journal = join(folder, 'stopped');
  modes.clear();
  said.length = 0;
  running = undefined;
});

afterEach(async () => {
  await running?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('a cluster under supervision', () => {
  it('writes down every process that serves', async () => {
    const cluster = await start();
    const file = readClusterFile(paths.clusterFile);
    expect(file?.state).toBe('ready');
    expect(file?.natsUrl).toBe('nats://127.0.0.1:4222');
    expect(file?.supervisor).toEqual(identify(process.pid));
    expect(file?.processes.map(({ name, state }) => `${name} ${state}`)).toEqual([
      'nats ready',
      'services ready',
      'n1 ready',
      'n2 ready',
    ]);
    for (const { name } of cluster.processes()) {
      expect(isRunning(identityOf(cluster, name))).toBe(true);
    }
  });

  it('stops agents first, plugins next and NATS last, and leaves no process', async () => {
    const cluster = await start();
    const all = ['nats', 'services', 'n1', 'n2'].map((name) => identityOf(cluster, name));
    await cluster.stop();
    const order = readFileSync(journal, 'utf8').trim().split('\n');
    expect(order.slice(0, 2).toSorted()).toEqual(['n1', 'n2']);
    expect(order.slice(2)).toEqual(['services', 'nats']);
    expect(all.filter(isRunning)).toEqual([]);
    expect(existsSync(paths.clusterFile)).toBe(false);
  });

  it('starts a child again that died, and counts it', async () => {
    const cluster = await start();
    const before = identityOf(cluster, 'services');
    expect(await cluster.kill('services')).toBe(before.pid);
    await until('a new process', () => {
      const record = recordOf(cluster, 'services');
      return record?.state === 'ready' && record.pid !== before.pid;
    });
    expect(recordOf(cluster, 'services')?.restarts).toBe(1);
    expect(said).toContainEqual(expect.stringMatching(/^services was ended by SIGKILL after /));
  });

  it('has none to kill where the process has just ended, though its end is not heard of yet', async () => {
    const cluster = await start();
    const before = identityOf(cluster, 'services');
    process.kill(before.pid, 'SIGKILL');
    // Without a turn for the end to be heard of.
    while (isRunning(before));
    expect(recordOf(cluster, 'services')?.pid).toBe(before.pid);
    await expect(cluster.kill('services')).rejects.toMatchObject({ code: 'PROCESS_NOT_FOUND' });
  });

  it('does not start a node again that was killed on request, until it is asked to', async () => {
    const cluster = await start();
    const before = identityOf(cluster, 'n2');
    await cluster.killNode('n2');
    expect(isRunning(before)).toBe(false);
    expect(recordOf(cluster, 'n2')).toMatchObject({ state: 'stopped', pid: null, restarts: 0 });
    await cluster.startNode('n2');
    expect(isRunning(identityOf(cluster, 'n2'))).toBe(true);
  });

  it('kills the target and the frontends that an agent wrote down with the node', async () => {
    const cluster = await start();
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const target = identify(child.pid ?? 0);
    mkdirSync(paths.node('n1'), { recursive: true });
    writeFileSync(
      paths.agentFile('n1'),
      JSON.stringify({
        agentPid: identityOf(cluster, 'n1').pid,
        targetPid: target.pid,
        frontends: [],
      }),
    );
    expect(recordOf(cluster, 'n1/target')).toMatchObject({ kind: 'target', pid: target.pid });
    const killed = await cluster.killNode('n1');
    expect(killed).toContain(target.pid);
    expect(await waitForEnd(target, 2_000)).toBe(true);
  });

  it('kills a child that does not stop in its time', async () => {
    modes.set('n1', 'stubborn');
    const cluster = await start();
    const stubborn = identityOf(cluster, 'n1');
    await cluster.stop();
    expect(isRunning(stubborn)).toBe(false);
    expect(said).toContain('n1 did not stop within 300 ms and was killed');
  });

  it('gives up on a child that never serves, quotes its log, and leaves nothing', async () => {
    modes.set('services', 'broken');
    const failure = await start().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(LariatError);
    expect(failure).toMatchObject({ code: 'PROCESS_START_FAILED', kind: 'unavailable' });
    expect((failure as LariatError).message).toContain('services ended with exit code 3');
    expect((failure as LariatError).message).toContain('it cannot work');
    expect(existsSync(paths.clusterFile)).toBe(false);
    expect(existsSync(paths.lockFile)).toBe(false);
  });

  it('refuses a second supervisor on the same folder', async () => {
    await start();
    await expect(startCluster({ dataDir: folder, plan, timing: TIMING })).rejects.toMatchObject({
      code: 'CLUSTER_RUNNING',
      kind: 'conflict',
    });
    expect(readClusterFile(paths.clusterFile)?.state).toBe('ready');
  });

  it('takes the nodes of the last time, with those that were added', async () => {
    const first = await start();
    await first.addNode('spare');
    await first.removeNode('n1');
    await first.stop();
    running = await startCluster({ dataDir: folder, plan, timing: TIMING });
    const agents = running.processes().filter(({ kind }) => kind === 'agent');
    expect(agents.map(({ name }) => name)).toEqual(['n2', 'spare']);
  });

  it('stops what is on record when its supervisor is dead, and nothing else', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const bystander = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const left = identify(child.pid ?? 0);
    const other = identify(bystander.pid ?? 0);
    const record = { kind: 'plugin', state: 'ready', restarts: 0 };
    writeFileSync(
      paths.clusterFile,
      JSON.stringify({
        version: 1,
        state: 'ready',
        supervisor: { pid: process.pid, startTime: 'another' },
        processes: [
          { ...record, name: 'services', ...left },
          // The pid was given to another process since.
          { ...record, name: 'reused', pid: other.pid, startTime: '1' },
        ],
      }),
    );
    expect(await stopRemains(paths)).toEqual([left.pid]);
    expect(isRunning(left)).toBe(false);
    expect(isRunning(other)).toBe(true);
    expect(existsSync(paths.clusterFile)).toBe(false);
    bystander.kill();
  });
});

describe('the control socket', () => {
  it('carries out commands and answers their errors', async () => {
    await start(1);
    const socket = paths.controlSocket;
    await expect(askSupervisor(socket, { command: 'add-node', name: 'n9' })).resolves.toMatchObject(
      {
        name: 'n9',
        state: 'ready',
      },
    );
    await expect(askSupervisor(socket, { command: 'kill-node', name: 'no' })).rejects.toMatchObject(
      {
        code: 'NODE_NOT_FOUND',
      },
    );
    await expect(askSupervisor(socket, { command: 'add-node', name: 'n9' })).rejects.toMatchObject({
      code: 'NODE_NAME_TAKEN',
    });
    await expect(askSupervisor(socket, { command: 'add-node', name: '-' })).rejects.toMatchObject({
      code: 'NAME_INVALID',
    });
    await expect(askSupervisor(socket, { command: 'kill', name: 'x' })).rejects.toMatchObject({
      code: 'PROCESS_NOT_FOUND',
    });
  });

  it('says so when no supervisor answers', async () => {
    await expect(
      askSupervisor(join(folder, 'nothing.sock'), { command: 'list' }),
    ).rejects.toMatchObject({ code: 'CLUSTER_NOT_RUNNING', kind: 'unavailable' });
  });
});
