import { execFileSync, spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleOf } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster, natsServer, until } from './cluster.js';

const MAIN = bundleOf(fileURLToPath(new URL('../dist/main.js', import.meta.url)));

const alive = (pid: number): boolean => {
  const state = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)])
    .stdout.toString()
    .trim();
  return state !== '' && !state.startsWith('Z');
};

test('a wrong command line exits 2 and prints the usage', () => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, '--node', 'Bad Name']);
  expect(status).toBe(2);
  expect(stderr.toString()).toContain('usage:');
});

describe.skipIf(natsServer === undefined)('the agent process (needs nats-server)', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start(['n1']);
  });
  afterAll(async () => {
    await cluster.stop();
  });

  const runAgain = (...extra: readonly string[]) => {
    const data = join(cluster.root, 'n1');
    const base = ['--node', 'n1', '--nats', cluster.natsUrl, '--data', data];
    return spawnSync(process.execPath, [MAIN, ...base, ...extra], { timeout: 20_000 });
  };

  test('a second agent on the same data folder is refused', () => {
    const { status, stderr } = runAgain();
    expect(status).toBe(1);
    expect(stderr.toString()).toContain('in use by the agent with pid');
    expect(alive(cluster.agent('n1').status().targetPid)).toBe(true);
  });

  test('SIGHUP ends the agent alone; the next adopts the target, the disk and the port', async () => {
    const before = cluster.agent('n1').status();
    const registration = cluster.registrations.get('n1');
    await cluster.agent('n1').signal('SIGHUP');
    expect(alive(before.targetPid)).toBe(true);
    cluster.registrations.clear();
    await cluster.startAgent('n1');
    const again = await until('the registration', () => cluster.registrations.get('n1'));
    expect(cluster.agent('n1').status().targetPid).toBe(before.targetPid);
    expect(again.disks).toEqual(registration?.disks);
    expect(again.trsvcid).toBe(registration?.trsvcid);
    expect(again.agentInstance).not.toBe(registration?.agentInstance);
  });

  test('SIGTERM ends the target too; the data folder keeps its node, its disk and its port', async () => {
    const { targetPid } = cluster.agent('n1').status();
    const before = cluster.registrations.get('n1');
    await cluster.agent('n1').signal('SIGTERM');
    expect(alive(targetPid)).toBe(false);
    const other = runAgain('--node', 'n2');
    expect(other.status).toBe(1);
    expect(other.stderr.toString()).toContain('belongs to node');
    await cluster.startAgent('n1');
    const after = await until('the registration', () => cluster.registrations.get('n1'));
    expect(after.trsvcid).toBe(before?.trsvcid);
    expect(after.disks).toEqual(before?.disks);
  });

  test('a port taken by a stranger is named', async () => {
    const port = Number(cluster.registrations.get('n1')?.trsvcid);
    await cluster.agent('n1').signal('SIGTERM');
    const stranger = createServer();
    await new Promise<void>((resolve) => stranger.listen(port, '127.0.0.1', resolve));
    const { status, stderr } = runAgain();
    await new Promise((resolve) => stranger.close(resolve));
    expect(status).toBe(1);
    expect(stderr.toString()).toContain(`port 127.0.0.1:${port}`);
    await cluster.startAgent('n1');
  });

  test('a disk with foreign content is left as it is', async () => {
    const path = join(cluster.root, 'foreign.img');
    execFileSync('dd', ['if=/dev/urandom', `of=${path}`, 'bs=1M', 'count=32'], { stdio: 'ignore' });
    const sum = (): string => execFileSync('sha256sum', [path]).toString();
    const before = sum();
    const input = { disk: 'disk-00000000000x', name: 'x', path, tags: [], sizeBytes: null };
    await expect(cluster.send('n1', 'disk.add', input)).rejects.toMatchObject({
      code: 'DISK_FOREIGN_CONTENT',
    });
    expect(sum()).toBe(before);
    const missing = { ...input, path: join(cluster.root, 'no-such.img') };
    await expect(cluster.send('n1', 'disk.add', missing)).rejects.toMatchObject({
      code: 'DISK_NOT_FOUND',
    });
  });

  test('the kernel and loop frontends are refused with the reason', async () => {
    const endpoint = { nqn: 'nqn.2026-11.io.lariat:volume:v', traddr: '', trsvcid: '', uuid: '' };
    const input = { volume: 'vol-00000000000x', epoch: 1, frontend: 'kernel', endpoint } as const;
    await expect(cluster.send('n1', 'frontend.start', input)).rejects.toMatchObject({
      code: 'FRONTEND_UNSUPPORTED',
    });
  });
});
