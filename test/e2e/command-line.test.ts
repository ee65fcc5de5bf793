import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CHECKOUT } from '@lariat/cli';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pluginSubject } from '@lariat/contracts';
import { connectNats } from '@lariat/messaging';
import { processesOf, until } from './e2e-cluster.js';

const run = promisify(execFile);
const lariat = join(CHECKOUT, 'lariat');

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function command(...args: readonly string[]): Promise<Ran> {
  try {
    return { code: 0, ...(await run(lariat, [...args], { timeout: 60_000 })) };
  } catch (error) {
    return error as Ran;
  }
}

const exitOf = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => child.once('exit', resolve));

describe('the command line', () => {
  const folders = ['a', 'b'].map((name) => mkdtempSync(join(tmpdir(), `lariat-cli-${name}-`)));
  const [first = '', second = ''] = folders;

  beforeAll(async () => {
    const plugin = join(CHECKOUT, 'examples', 'volume-watcher');
    const started = await Promise.all([
      command('up', '--nodes', '1', '--data', first, '--detach', '--plugin', plugin),
      command('up', '--nodes', '1', '--data', second, '--detach'),
    ]);
    const failed = started.find(({ code }) => code !== 0);
    if (failed !== undefined) throw new Error(`up failed: ${failed.stderr}`);
  });
  afterAll(async () => {
    await Promise.all(folders.map((folder) => command('down', '--data', folder)));
    const left = folders.flatMap(processesOf);
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`processes are left: ${left.join('; ')}`);
  });

  it('tells where the cluster is and which processes it has', async () => {
    const { natsUrl, processes } = JSON.parse(
      (await command('status', '--data', first, '--json')).stdout,
    ) as {
      natsUrl: string;
      processes: { name: string; pid: number }[];
    };
    expect(natsUrl).toMatch(/^nats:\/\/127\.0\.0\.1:\d+$/);
    expect(processes.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['nats', 'services', 'n1', 'n1/target']),
    );
    expect(processes.every(({ pid }) => pid > 0)).toBe(true);
  });

  it('keeps two clusters on one machine apart', async () => {
    expect(
      (
        await command(
          'volume',
          'create',
          'mine',
          '--size',
          '4MiB',
          '--replicas',
          '1',
          '--data',
          first,
        )
      ).code,
    ).toBe(0);
    const { volumes } = JSON.parse(
      (await command('volume', 'list', '--json', '--data', second)).stdout,
    ) as { volumes: object[] };
    expect(volumes).toEqual([]);
  });

  it('loads a plugin, which is told of what happens', async () => {
    const { natsUrl } = JSON.parse((await command('status', '--data', first, '--json')).stdout) as {
      natsUrl: string;
    };
    const connection = await connectNats({
      ...{ servers: natsUrl, name: 'listener' },
      access: { credentials: join(first, 'credentials') },
    });
    const seen: string[] = [];
    connection.subscribe(pluginSubject('volume-watcher.seen'), {
      callback: (_error, message) => void seen.push(message.json<{ type: string }>().type),
    });
    await connection.flush();
    await command(
      'volume',
      'create',
      'watched',
      '--size',
      '1MiB',
      '--replicas',
      '1',
      '--data',
      first,
    );
    const told = await until('the plugin to tell of it', 10_000, async () =>
      seen.includes('created') ? seen : undefined,
    );
    expect(told).toContain('created');
    await connection.close();
  });

  it.each([
    [['volume', 'get', 'nobody'], 3, 'VOLUME_NOT_FOUND'],
    [['volume', 'create', 'Bad_Name', '--size', '1MiB'], 2, 'NAME_INVALID'],
    [['volume', 'create', 'mine', '--size', '1MiB', '--replicas', '1'], 4, 'VOLUME_NAME_TAKEN'],
    [['volume', 'detach', 'mine'], 5, 'VOLUME_NOT_ATTACHED'],
  ])('%j ends with %i and says %s', async (args, code, named) => {
    const plain = await command(...args, '--data', first);
    expect(plain.code).toBe(code);
    expect(plain.stderr).toContain(named);
    const json = await command(...args, '--json', '--data', first);
    expect(json.code).toBe(code);
    expect(JSON.parse(json.stdout === '' ? json.stderr : json.stdout)).toMatchObject({
      error: { code: named },
    });
  });

  it('says when there is no cluster', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lariat-none-'));
    expect((await command('volume', 'list', '--data', folder)).code).toBe(6);
    rmSync(folder, { recursive: true });
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('stops every child on %s', async (signal) => {
    const folder = mkdtempSync(join(tmpdir(), 'lariat-int-'));
    const child = spawn(lariat, ['up', '--nodes', '2', '--data', folder], { stdio: 'ignore' });
    const exited = exitOf(child);
    // In the middle of the start: some children are there, not all.
    await until('the first children', 20_000, async () =>
      processesOf(folder).length > 2 ? true : undefined,
    );
    child.kill(signal);
    await exited;
    await until('all to be gone', 10_000, async () =>
      processesOf(folder).length === 0 ? true : undefined,
    );
    expect(processesOf(folder)).toEqual([]);
    rmSync(folder, { recursive: true, force: true });
  });
});
