import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import {
  engineHostNqn,
  nodeHostNqn,
  type EngineLeg,
  type NvmfEndpoint,
  type ProgressReport,
} from '@lariat/contracts';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster, hasProgram, natsServer, until } from './cluster.js';

const run = promisify(execFile);
const SIZE = 64 * MIB;
const VOLUME = 'vol-000000000001';
const UUID = '11111111-2222-4333-8444-555555555555';
const NODES = ['n1', 'n2', 'n3'] as const;
const replicaOn = (node: string): string => `rep-00000000000${node.slice(1)}`;

async function qemuIo(endpoint: string, ...commands: readonly string[]): Promise<string> {
  const args = commands.flatMap((command) => ['-c', command]);
  const { stdout } = await run('qemu-io', ['-f', 'raw', ...args, endpoint]);
  return stdout;
}

const ready = natsServer !== undefined && hasProgram('qemu-io') && hasProgram('nbdinfo');

describe.skipIf(!ready)('a volume on three nodes (needs nats-server, qemu-io, nbdinfo)', () => {
  let cluster: Cluster;
  let epoch = 0;

  beforeAll(async () => {
    cluster = await Cluster.start(NODES);
  });
  afterAll(async () => {
    await cluster.stop();
  });

  async function exportLegs(nodes: readonly string[], engineNode: string): Promise<EngineLeg[]> {
    return Promise.all(
      nodes.map(async (node): Promise<EngineLeg> => {
        const replica = replicaOn(node);
        if (node === engineNode) return { replica, endpoint: null };
        const hostNqns = [engineHostNqn(VOLUME, epoch)];
        const input = { replica, volume: VOLUME, epoch, hostNqns };
        return { replica, endpoint: await cluster.send(node, 'replica.export', input) };
      }),
    );
  }

  async function attach(nodes: readonly string[], engineNode: string): Promise<string> {
    epoch += 1;
    const legs = await exportLegs(nodes, engineNode);
    const started = await cluster.send(engineNode, 'engine.start', {
      volume: VOLUME,
      uuid: UUID,
      epoch,
      sizeBytes: SIZE,
      legs,
    });
    expect(started.lost).toEqual([]);
    expect(started.operational).toEqual(nodes.map(replicaOn));
    const { endpoint } = await cluster.send(engineNode, 'frontend.start', {
      volume: VOLUME,
      epoch,
      frontend: 'nbd',
      endpoint: started.endpoint,
    });
    return endpoint;
  }

  async function detach(nodes: readonly string[], engineNode: string): Promise<void> {
    await cluster.send(engineNode, 'frontend.stop', { volume: VOLUME, epoch });
    await cluster.send(engineNode, 'engine.stop', { volume: VOLUME, epoch });
    for (const node of nodes) {
      const input = { replica: replicaOn(node), volume: VOLUME, epoch };
      await cluster.send(node, 'replica.unexport', input);
    }
  }

  async function checksums(
    nodes: readonly string[],
    snapshot: string | null,
  ): Promise<Set<string>> {
    const sums = await Promise.all(
      nodes.map((node) =>
        cluster.send(node, 'replica.checksum', {
          replica: replicaOn(node),
          volume: VOLUME,
          snapshot,
        }),
      ),
    );
    return new Set(sums.map(({ sha256 }) => sha256));
  }

  test('is written through nbd to identical replicas', async () => {
    for (const node of ['n1', 'n2']) {
      const disk = await cluster.disk(node);
      const input = { replica: replicaOn(node), volume: VOLUME, disk, sizeBytes: SIZE };
      const made = await cluster.send(node, 'replica.create', input, { id: `create/${node}` });
      const again = await cluster.send(node, 'replica.create', input, { id: `create/${node}` });
      expect(again).toEqual(made);
    }
    const endpoint = await attach(['n1', 'n2'], 'n1');
    const { stdout } = await run('nbdinfo', ['--json', endpoint]);
    expect(JSON.parse(stdout)).toMatchObject({ exports: [{ 'export-size': SIZE }] });
    await qemuIo(endpoint, 'write -P 0xa1 0 8M', 'write -P 0xa2 12345k 3M', 'flush');
    const read = await qemuIo(endpoint, 'read -P 0xa1 0 8M', 'read -P 0xa2 12345k 3M');
    expect(read).not.toContain('verification failed');
  });

  test('is snapshotted, rebuilt onto a third node under I/O, and all three are identical', async () => {
    const engine = { volume: VOLUME, epoch };
    const endpoint = `nbd+unix:///?socket=${cluster.root}/n1/nbd/${VOLUME}.sock`;
    const gateOf = (gate: string): { volume: string; epoch: number; gate: string } => ({
      ...engine,
      gate,
    });
    const snap = async (snapshot: string, gate: string): Promise<void> => {
      await cluster.send('n1', 'engine.close-gate', { ...gateOf(gate), timeoutMs: 10_000 });
      for (const node of ['n1', 'n2']) {
        const input = { replica: replicaOn(node), volume: VOLUME, snapshot };
        await cluster.send(node, 'snapshot.create', input);
      }
    };
    await snap('snap-000000000001', 'g1');
    expect(await cluster.send('n1', 'engine.open-gate', gateOf('g1'))).toEqual({ held: true });
    await qemuIo(endpoint, 'write -P 0xb1 4M 2M', 'write -P 0xb2 40M 5M');

    const disk = await cluster.disk('n3');
    const destination = { replica: replicaOn('n3'), volume: VOLUME };
    const source = { replica: replicaOn('n1'), volume: VOLUME };
    await snap('snap-000000000002', 'g2');
    const exported = await cluster.send('n1', 'rebuild.export-snapshot', {
      ...source,
      snapshot: 'snap-000000000002',
      hostNqn: nodeHostNqn('n3'),
    });
    await cluster.send('n3', 'rebuild.create-head', {
      ...destination,
      disk,
      sizeBytes: SIZE,
      source: exported,
    });
    const leg: NvmfEndpoint = await cluster.send('n3', 'replica.export', {
      ...destination,
      epoch,
      hostNqns: [engineHostNqn(VOLUME, epoch)],
    });
    const added = { replica: replicaOn('n3'), endpoint: leg };
    await cluster.send('n1', 'engine.add-leg', { ...gateOf('g2'), leg: added });
    expect(await cluster.send('n1', 'engine.open-gate', gateOf('g2'))).toEqual({ held: true });
    // Part of a cluster that the new head does not have yet, and a whole one.
    await qemuIo(endpoint, 'write -P 0xc1 4100k 64k', 'write -P 0xc2 20M 1M');

    const progress: ProgressReport[] = [];
    cluster.connection.subscribe('lariat.v1.progress.*.op-rebuild', {
      callback: (_error, message) => progress.push(message.json<ProgressReport>()),
    });
    const copied: number[] = [];
    let parent: string | null = null;
    for (const snapshot of ['snap-000000000001', 'snap-000000000002']) {
      const hostNqn = nodeHostNqn('n1');
      const scratch = await cluster.send('n3', 'rebuild.create-scratch', {
        ...destination,
        disk,
        sizeBytes: SIZE,
        parent,
        hostNqn,
      });
      const input = { ...source, snapshot, parent, scratch };
      const options = { operation: 'op-rebuild' };
      const done = await cluster.send('n1', 'rebuild.copy-snapshot', input, options);
      copied.push(done.copiedClusters);
      await cluster.send('n1', 'rebuild.detach-scratch', { ...source, scratchNqn: scratch.nqn });
      await cluster.send('n3', 'rebuild.freeze-scratch', { ...destination, snapshot });
      parent = snapshot;
    }
    expect(copied[0]).toBeGreaterThanOrEqual(11);
    expect(copied[1]).toBeGreaterThanOrEqual(7);
    expect(progress.at(-1)?.unit).toBe('clusters');
    const last = { ...destination, snapshot: 'snap-000000000002' };
    await cluster.send('n3', 'rebuild.finish', last);
    const unexport = { ...source, snapshot: 'snap-000000000002' };
    await cluster.send('n1', 'rebuild.unexport-snapshot', unexport);

    await qemuIo(endpoint, 'write -P 0xd1 60M 1M');
    await detach(NODES, 'n1');
    expect((await checksums(NODES, 'snap-000000000001')).size).toBe(1);
    expect((await checksums(NODES, 'snap-000000000002')).size).toBe(1);
    expect((await checksums(NODES, null)).size).toBe(1);
  });

  test('attaches fast, and forgives a leg whose target is back at once', async () => {
    const began = performance.now();
    const endpoint = await attach(NODES, 'n1');
    const attachMs = performance.now() - began;
    expect(attachMs).toBeLessThan(1_000);
    const { targetPid } = cluster.agent('n2').status();
    process.kill(targetPid, 'SIGKILL');
    expect(await qemuIo(endpoint, 'write -P 0xe0 0 1M', 'read -P 0xe0 0 1M')).not.toContain(
      'failed',
    );
    await until('the new target', () => cluster.agent('n2').status().targetPid !== targetPid);
    expect(cluster.reports).toEqual([]);
    await detach(NODES, 'n1');
    expect((await checksums(NODES, null)).size).toBe(1);
  });

  test('goes on without a node that is killed, and tells so within 3 s', async () => {
    const endpoint = await attach(NODES, 'n1');
    const { agentPid, targetPid } = cluster.agent('n3').status();
    const killedAt = performance.now();
    process.kill(agentPid, 'SIGKILL');
    process.kill(targetPid, 'SIGKILL');
    const written = qemuIo(endpoint, 'write -P 0xe1 1M 1M');
    await until('the loss to be reported', () =>
      cluster.reports.some(({ lost }) => lost.length > 0),
    );
    expect(performance.now() - killedAt).toBeLessThan(3_000);
    await written;
    const report = cluster.reports.find(({ lost }) => lost.length > 0);
    expect(report).toMatchObject({
      node: 'n1',
      volume: VOLUME,
      epoch,
      operational: [replicaOn('n1'), replicaOn('n2')],
      lost: [{ replica: replicaOn('n3') }],
    });
    expect(await qemuIo(endpoint, 'read -P 0xe1 1M 1M')).not.toContain('verification failed');
  });

  test('stalls over a restart of its own target and loses nothing', async () => {
    const endpoint = `nbd+unix:///?socket=${cluster.root}/n1/nbd/${VOLUME}.sock`;
    const { targetPid } = cluster.agent('n1').status();
    process.kill(targetPid, 'SIGKILL');
    expect(await qemuIo(endpoint, 'read -P 0xe1 1M 1M', 'write -P 0xe2 2M 1M')).not.toContain(
      'failed',
    );
    expect(cluster.agent('n1').status().targetPid).not.toBe(targetPid);
  });

  test('keeps working while its agent is killed, and is adopted by the next', async () => {
    const endpoint = `nbd+unix:///?socket=${cluster.root}/n1/nbd/${VOLUME}.sock`;
    const before = cluster.agent('n1').status();
    await cluster.agent('n1').signal('SIGKILL');
    expect(await qemuIo(endpoint, 'read -P 0xe2 2M 1M', 'write -P 0xe3 3M 1M')).not.toContain(
      'failed',
    );
    await cluster.startAgent('n1');
    const after = cluster.agent('n1').status();
    expect(after.targetPid).toBe(before.targetPid);
    expect(after.frontends.map(({ pid }) => pid)).toEqual(before.frontends.map(({ pid }) => pid));
    expect(await qemuIo(endpoint, 'read -P 0xe3 3M 1M')).not.toContain('failed');
  });

  test('refuses what an older epoch or an older fence asks for', async () => {
    const stale = { volume: VOLUME, epoch: epoch - 1 };
    await expect(cluster.send('n1', 'engine.stop', stale)).rejects.toMatchObject({
      code: 'EPOCH_STALE',
    });
    const stop = { volume: 'vol-none00000000', epoch: 1 };
    await cluster.send('n1', 'engine.stop', stop, { operation: 'op-f', fence: 5 });
    await expect(
      cluster.send('n1', 'engine.stop', stop, { operation: 'op-f', fence: 4 }),
    ).rejects.toMatchObject({ code: 'COMMAND_FENCED' });
  });

  test('is reverted to its snapshot', async () => {
    await detach(['n1', 'n2'], 'n1');
    for (const node of ['n1', 'n2']) {
      await cluster.send(node, 'replica.revert', {
        replica: replicaOn(node),
        volume: VOLUME,
        snapshot: 'snap-000000000001',
        sizeBytes: SIZE,
      });
    }
    const snapshot = await checksums(['n1', 'n2'], 'snap-000000000001');
    expect(await checksums(['n1', 'n2'], null)).toEqual(snapshot);
  });

  test('is deleted with nothing left over', async () => {
    await cluster.startAgent('n3');
    for (const node of NODES) {
      const deleted = { replica: replicaOn(node), volume: VOLUME };
      expect(await cluster.send(node, 'replica.delete', deleted)).toEqual({});
      // Refused while anything is on it, on record or not: so this says that nothing is left.
      const disk = await cluster.disk(node);
      expect(await cluster.send(node, 'disk.remove', { disk })).toEqual({});
      await until(`${node} to say so`, () => cluster.registrations.get(node)?.disks.length === 0);
    }
  });
});
