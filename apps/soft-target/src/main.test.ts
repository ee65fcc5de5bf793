import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bundleOf } from '@lariat/kernel';
import { Spdk, SpdkClient } from '@lariat/spdk';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** The built program; `npm run build` makes it before the tests. */
const MAIN = bundleOf(join(import.meta.dirname, '..', 'dist', 'main.js'));

let folder: string;
let children: ChildProcess[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lariat-main-'));
  children = [];
});

afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
});

function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  return child;
}

const placeArgs = (name = 'a'): string[] => [
  '--rpc-socket',
  join(folder, `${name}.sock`),
  '--state-dir',
  join(folder, `${name}-state`),
];

async function ready(
  child: ChildProcess,
): Promise<{ event: string; pid: number; rpcSocket: string }> {
  if (child.stdout === null) throw new Error('no stdout');
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line')) as [string];
  return JSON.parse(line) as { event: string; pid: number; rpcSocket: string };
}

async function ended(
  child: ChildProcess,
): Promise<{ code: number | null; signal: string | null; stderr: string }> {
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, stderr };
}

describe('soft-target', () => {
  test('says when it is ready, serves, and stops in order', async () => {
    const child = start(placeArgs());
    const line = await ready(child);
    expect(line).toMatchObject({
      event: 'ready',
      pid: child.pid,
      rpcSocket: join(folder, 'a.sock'),
    });
    const client = await SpdkClient.connect({ socketPath: line.rpcSocket });
    const { app } = new Spdk(client);
    expect(await app.getVersion()).toMatchObject({ major: 26, minor: 5 });
    const methods = await app.getMethods();
    expect(methods).toEqual(
      expect.arrayContaining(['spdk_get_version', 'nvmf_create_subsystem', 'bdev_get_bdevs']),
    );
    expect(methods).not.toContain('lariat_fault_arm');
    const end = ended(child);
    await app.killInstance('SIGTERM');
    expect(await end).toMatchObject({ code: 0 });
    expect(existsSync(line.rpcSocket)).toBe(false);
  });

  test.each([
    [['--bogus'], "Unknown option '--bogus'"],
    [[], '--rpc-socket is missing'],
    [['--rpc-socket', 's', '--state-dir', 'd', '--personality', 'x'], 'none of own, stock'],
  ])('ends with 2 and the usage for %j', async (args, message) => {
    const { code, stderr } = await ended(start(args));
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).toContain('usage: soft-target');
  });

  test.each([
    ['SIGTERM', 0, null],
    ['SIGINT', 0, null],
    ['SIGKILL', null, 'SIGKILL'],
  ] as const)('ends at a %s that a client asks for', async (signal, code, killedBy) => {
    const child = start(placeArgs());
    const { rpcSocket } = await ready(child);
    const client = await SpdkClient.connect({ socketPath: rpcSocket });
    const end = ended(child);
    // The answer may be lost with the process.
    await Promise.allSettled([client.call('spdk_kill_instance', { sig_name: signal })]);
    expect(await end).toMatchObject({ code, signal: killedBy });
    client.close();
  });

  test('goes on at a SIGHUP, and opens no debugger at a SIGUSR1', async () => {
    const child = start(placeArgs());
    const { rpcSocket } = await ready(child);
    const client = await SpdkClient.connect({ socketPath: rpcSocket });
    expect(await client.call('spdk_kill_instance', { sig_name: 'SIGHUP' })).toBe(true);
    await expect(client.call('spdk_kill_instance', { sig_name: 'SIGUSR1' })).rejects.toMatchObject({
      rpcCode: -32602,
      rpcMessage: 'Invalid parameters',
    });
    expect(await client.call('framework_get_reactors')).toMatchObject({ pid: child.pid });
    client.close();
  });

  test('ends with 1 when its socket or its folder is in use', async () => {
    await ready(start(placeArgs('a')));
    const sameFolder = await ended(start([...placeArgs('b').slice(0, 3), join(folder, 'a-state')]));
    expect(sameFolder).toMatchObject({ code: 1 });
    expect(sameFolder.stderr).toContain('another soft-target uses');
    const sameSocket = await ended(start([...placeArgs('a').slice(0, 3), join(folder, 'other')]));
    expect(sameSocket).toMatchObject({ code: 1 });
    expect(sameSocket.stderr).toContain('another process serves');
  });

  test('takes over from one that was killed', async () => {
    const first = start(placeArgs());
    await ready(first);
    first.kill('SIGKILL');
    await once(first, 'exit');
    const { rpcSocket } = await ready(start(placeArgs()));
    const client = await SpdkClient.connect({ socketPath: rpcSocket });
    expect(await client.call('framework_wait_init')).toBe(true);
    client.close();
  });

  test('outlives the end of whoever read its output', async () => {
    const child = start([...placeArgs(), '--log-level', 'DEBUG']);
    const { rpcSocket } = await ready(child);
    child.stdout?.destroy();
    child.stderr?.destroy();
    const client = await SpdkClient.connect({ socketPath: rpcSocket });
    for (let i = 0; i < 5; i += 1)
      await client.call('bdev_get_bdevs', { name: 'nope' }).catch(() => undefined);
    child.kill('SIGHUP');
    expect(await client.call('framework_wait_init')).toBe(true);
    client.close();
  });

  test('kills itself at an armed fault point, before or after the work is done', async () => {
    const child = start(placeArgs(), { LARIAT_FAULTS: '1' });
    const { rpcSocket } = await ready(child);
    const client = await SpdkClient.connect({ socketPath: rpcSocket });
    await client.call('lariat_fault_arm', {
      point: 'rpc/spdk_get_version/before',
      action: 'error',
    });
    await expect(client.call('spdk_get_version')).rejects.toMatchObject({
      rpcCode: -32603,
      rpcMessage: 'fault injected at rpc/spdk_get_version/before',
    });
    await client.call('lariat_fault_arm', {
      point: 'rpc/notify_get_types/after',
      action: 'kill',
      after: 1,
    });
    const end = ended(child);
    await client.call('notify_get_types');
    await expect(client.call('notify_get_types')).rejects.toMatchObject({
      code: 'SPDK_CONNECTION_LOST',
    });
    expect(await end).toMatchObject({ signal: 'SIGKILL' });
  });

  test('checks the stores of one that does not run, also where lmdb itself would crash', async () => {
    const disk = join(folder, 'disk.img');
    await writeFile(disk, '');
    await truncate(disk, 32 * 1024 * 1024);
    const child = start(placeArgs());
    const { rpcSocket } = await ready(child);
    const spdk = new Spdk(await SpdkClient.connect({ socketPath: rpcSocket }));
    await spdk.bdev.aioCreate({ name: 'disk', filename: disk });
    const uuid = await spdk.lvol.createLvstore({ bdevName: 'disk', lvsName: 'lvs' });
    const state = join(folder, 'a-state');
    expect(await ended(start(['check', state, disk]))).toMatchObject({ code: 8 });
    const end = ended(child);
    await spdk.app.killInstance('SIGTERM');
    await end;
    expect(await ended(start(['check', state, disk]))).toMatchObject({ code: 0, stderr: '' });
    expect(await ended(start(['check']))).toMatchObject({ code: 16 });
    // All but the meta pages.
    const data = join(state, `lvs-${uuid}`, 'data.mdb');
    const image = await readFile(data);
    await writeFile(data, image.fill(0xee, 8192));
    expect(await ended(start(['check', state, disk]))).toMatchObject({ code: 4 });
  });
});
