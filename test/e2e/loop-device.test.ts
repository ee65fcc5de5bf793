import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { MIB } from '@lariat/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type E2eCluster, processesOf, startE2e, until } from './e2e-cluster.js';
import { lineWriter } from './line-writer.js';

const run = promisify(execFile);
const SIZE_BYTES = 32 * MIB;
const PROGRAMS = ['nbdfuse', 'losetup', 'mkfs.ext4', 'mount', 'umount'];
const FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];

/** Why there can be no loop device on a volume here; undefined when there can. */
function whyNoLoop(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can make devices';
  for (const device of ['/dev/fuse', '/dev/loop-control'])
    if (!existsSync(device)) return `there is no ${device}`;
  const isMissing = (program: string): boolean =>
    !FOLDERS.some((folder) => existsSync(join(folder, program)));
  const missing = PROGRAMS.filter(isMissing);
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}

const whyNot = whyNoLoop();

describe.skipIf(whyNot !== undefined)(`a volume as a loop device (${whyNot ?? 'root'})`, () => {
  let e2e: E2eCluster;
  let folder: string;
  let foreignLoop: string;
  beforeAll(async () => {
    e2e = await startE2e({ nodes: 1, diskSizeBytes: 256 * MIB });
    folder = await mkdtemp(join(tmpdir(), 'lariat-loop-'));
    // What others have on the machine, with names like ours.
    const image = join(folder, 'loop', 'vol-000000000000.1.1', 'nbd');
    await mkdir(join(folder, 'loop', 'vol-000000000000.1.1'), { recursive: true });
    await writeFile(image, '');
    await truncate(image, 4 * MIB);
    const { stdout } = await run('losetup', ['--find', '--show', image]);
    foreignLoop = stdout.trim();
    await mkdir(deviceDir(), { recursive: true });
    await symlink('/dev/null', join(deviceDir(), 'vol-000000000000'));
    await mkdir(mountPoint());
  });
  afterAll(async () => {
    await run('umount', [mountPoint()]).catch(() => undefined);
    const left = await e2e.leftovers();
    await run('losetup', ['--detach', foreignLoop]);
    await e2e.stop();
    await rm(folder, { recursive: true });
    if (left.length > 0) throw new Error(`left over: ${left.join('; ')}`);
  });

  const nodeFolder = (): string => e2e.cluster.paths.node('n1');
  const deviceDir = (): string => join(nodeFolder(), 'dev');
  const mountPoint = (): string => join(folder, 'mnt');
  const mount = (device: string) => run('mount', [device, mountPoint()]);
  const umount = () => run('umount', [mountPoint()]);

  /** Loop devices, fuse mounts and nodes of the cluster's node. */
  function devices(): readonly string[] {
    const loops = readdirSync('/sys/block').flatMap((name) => {
      try {
        const file = readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim();
        return file.startsWith(nodeFolder()) ? [`/dev/${name}`] : [];
      } catch {
        return [];
      }
    });
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .flatMap((line) => line.split(' ').slice(1, 2))
      .filter((point) => point.startsWith(nodeFolder()));
    const nodes = readdirSync(deviceDir()).filter((name) => name !== 'vol-000000000000');
    const servers = processesOf(nodeFolder()).filter((line) => line.includes('nbdfuse'));
    return [...loops, ...mounts, ...nodes, ...servers];
  }
  const expectForeignUntouched = (): void => {
    const name = basename(foreignLoop);
    expect(readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8')).toContain(folder);
    expect(lstatSync(join(deviceDir(), 'vol-000000000000')).isSymbolicLink()).toBe(true);
  };

  const create = (name: string) =>
    e2e.client.request('volume.create', { name, sizeBytes: SIZE_BYTES, replicas: 1 });
  async function attach(volume: string): Promise<string> {
    const body = { volume, node: 'n1', frontend: 'loop' } as const;
    const { attachment } = await e2e.client.request('volume.attach', body, { timeoutMs: 60_000 });
    return attachment?.endpoint ?? '';
  }
  const detach = (volume: string) =>
    e2e.client.request('volume.detach', { volume }, { timeoutMs: 60_000 });
  const remove = (volume: string) => e2e.client.request('volume.delete', { volume });

  /** Appends lines to a file, each on disk before the next, until it is told to stop; answers how many. */
  function startWriter(file: string): { stop(): Promise<number> } {
    const child = spawn(process.execPath, ['-e', lineWriter(5), file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    return {
      stop: async () => {
        child.kill('SIGTERM');
        const [code] = await once(child, 'close');
        if (code !== 0) throw new Error(`the writer failed: ${String(code)}`);
        return Number(said);
      },
    };
  }
  const hasGrown = async (file: string): Promise<void> => {
    const before = (await readFile(file)).length;
    await until('the writer to go on', 60_000, async () =>
      (await readFile(file)).length > before ? true : undefined,
    );
  };

  it('holds a file system, whose writers see only a stall when agent and target are killed', async () => {
    const { id } = await create('v');
    const node = await attach('v');
    expect(node).toBe(join(deviceDir(), id));
    const name = basename(realpathSync(node));
    const of = (path: string): number => Number(readFileSync(`/sys/block/${name}/${path}`, 'utf8'));
    expect(of('size') * 512).toBe(SIZE_BYTES);
    expect(of('queue/logical_block_size')).toBe(4096);
    expect(of('loop/dio')).toBe(1);
    await run('mkfs.ext4', ['-q', node]);
    await mount(node);
    const data = randomBytes(MIB);
    await writeFile(join(mountPoint(), 'data'), data);
    const file = join(mountPoint(), 'lines');
    const writer = startWriter(file);
    await until('the writer to begin', 20_000, async () => (existsSync(file) ? true : undefined));
    for (const process of ['n1', 'n1/target']) {
      await e2e.cluster.kill(process);
      await hasGrown(file);
    }
    const ready = () => e2e.client.request('node.get', { node: 'n1' });
    await until('the agent to be back', 60_000, async () =>
      (await ready()).state === 'ready' ? true : undefined,
    );
    expect(basename(realpathSync(node))).toBe(name);

    const busy = detach('v');
    await expect(busy).rejects.toMatchObject({
      code: 'DEVICE_BUSY',
      message: expect.stringContaining(`mounted on ${mountPoint()}`),
    });
    const grow = { volume: 'v', sizeBytes: 2 * SIZE_BYTES };
    await expect(e2e.client.request('volume.expand', grow)).rejects.toMatchObject({
      code: 'VOLUME_SIZE_FIXED',
    });
    expect(await e2e.client.request('volume.get', { volume: 'v' })).toMatchObject({
      ...{ state: 'attached', operation: null, sizeBytes: SIZE_BYTES },
    });
    const lines = await writer.stop();
    await umount();
    await detach('v');
    expect(devices()).toEqual([]);
    expectForeignUntouched();

    await mount(await attach('v'));
    const expected = Array.from({ length: lines }, (_, index) => `line ${index}\n`).join('');
    expect(await readFile(file, 'utf8')).toBe(expected);
    expect((await readFile(join(mountPoint(), 'data'))).equals(data)).toBe(true);
    await umount();
    await detach('v');
    await remove('v');
    expect(devices()).toEqual([]);
  }, 240_000);

  it('is another device when its server has died: a busy one goes with its last user', async () => {
    await create('w');
    const node = await attach('w');
    await run('mkfs.ext4', ['-q', node]);
    await mount(node);
    await writeFile(join(mountPoint(), 'kept'), 'all of it');
    await run('sync', ['-f', mountPoint()]);
    const dead = realpathSync(node);
    await e2e.cluster.killNode('n1');
    await e2e.cluster.startNode('n1');
    const next = await until('another device', 60_000, async () => {
      const now = existsSync(node) ? realpathSync(node) : dead;
      return now === dead ? undefined : now;
    });
    await umount().catch(() => undefined);
    await until('the dead one to go', 30_000, async () =>
      devices().includes(dead) ? undefined : true,
    );
    await mount(next);
    expect(await readFile(join(mountPoint(), 'kept'), 'utf8')).toBe('all of it');
    await umount();
    await detach('w');
    await remove('w');
    expect(devices()).toEqual([]);
    expectForeignUntouched();
  }, 240_000);

  it('goes when the node is back, if its volume was detached meanwhile', async () => {
    await create('x');
    await attach('x');
    expect(devices()).not.toEqual([]);
    await e2e.cluster.killNode('n1');
    await until('n1 to be declared down', 60_000, async () => {
      const { state } = await e2e.client.request('node.get', { node: 'n1' });
      return state === 'down' ? true : undefined;
    });
    await detach('x');
    await e2e.cluster.startNode('n1');
    await until('the device to go', 60_000, async () =>
      devices().length === 0 ? true : undefined,
    );
    expectForeignUntouched();
    await remove('x');
  }, 240_000);
});
