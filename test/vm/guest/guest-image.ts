import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CHECKOUT } from '@lariat/cli';
import { NotToBeHad } from '../../debian/packages.js';
import { modulesInOrder, type Unpacked, unpackPackages } from './guest-packages.js';
import { GUEST_INIT, RAMDISK_INIT } from './init-scripts.js';
import { isInstalled, run } from '../../debian/programs.js';

export const VIRTIOFSD = '/usr/lib/qemu/virtiofsd';
const PROGRAMS = ['qemu-system-x86_64', 'cpio', 'mke2fs', 'setpriv', 'apt-get', 'dpkg'];
const CACHE = join(CHECKOUT, '.lariat', 'vm');
/** Changed with what a guest is made of, so that one of an earlier make is not taken. */
const RECIPE = '2';
/** What it takes to mount the root; the rest is loaded from there. */
const RAMDISK_MODULES = [
  'virtio_pci',
  'virtio_blk',
  'virtio_net',
  'virtio_console',
  'virtiofs',
  'overlay',
];

/** Files that a guest is booted from; each guest reads them and none writes them. */
export interface GuestImage {
  readonly kernel: string;
  readonly ramdisk: string;
  readonly layer: string;
}

/** The image, made below `.lariat` once for all runs, or why there can be no guest on this machine. */
export async function guestImage(): Promise<GuestImage | string> {
  const missing = whatIsMissing();
  if (missing !== undefined) return missing;
  const id = createHash('sha256').update(`${RECIPE}\n${RAMDISK_INIT}\n${GUEST_INIT}`);
  const folder = join(CACHE, id.digest('hex').slice(0, 16));
  try {
    if (!existsSync(folder)) await make(folder);
  } catch (error) {
    if (error instanceof NotToBeHad) return error.message;
    throw error;
  }
  return filesIn(folder);
}

function whatIsMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can show a guest the files of the host';
  if (process.arch !== 'x64') return `the kernel is for x64, not for ${process.arch}`;
  const missing = PROGRAMS.filter((program) => !isInstalled(program));
  if (missing.length === 0 && !existsSync(VIRTIOFSD)) missing.push(VIRTIOFSD);
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}

const filesIn = (folder: string): GuestImage => ({
  kernel: join(folder, 'vmlinuz'),
  ramdisk: join(folder, 'ramdisk.cpio'),
  layer: join(folder, 'layer.ext4'),
});

async function make(folder: string): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const making = await mkdtemp(join(CACHE, 'making-'));
  try {
    const unpacked = await unpackPackages(making);
    const { ramdisk, layer } = filesIn(making);
    await makeRamdisk(unpacked, join(making, 'ramdisk'), ramdisk);
    const scripts = join(unpacked.layer, 'usr', 'lib', 'lariat-guest');
    await mkdir(scripts);
    await writeFile(join(scripts, 'init'), GUEST_INIT, { mode: 0o755 });
    await makeLayer(unpacked.layer, layer);
    // Appears whole or not at all, so that an interrupted make is not taken for a finished one.
    await rename(making, folder);
  } catch (error) {
    await rm(making, { recursive: true, force: true });
    throw error;
  }
}

async function makeRamdisk(unpacked: Unpacked, content: string, file: string): Promise<void> {
  const names = ['.', 'init', 'bin', 'bin/busybox', 'modules'];
  await mkdir(join(content, 'bin'), { recursive: true });
  await mkdir(join(content, 'modules'));
  await writeFile(join(content, 'init'), RAMDISK_INIT, { mode: 0o755 });
  await copyFile(join(unpacked.layer, 'usr', 'bin', 'busybox'), join(content, 'bin', 'busybox'));
  await chmod(join(content, 'bin', 'busybox'), 0o755);
  const modules = await modulesInOrder(unpacked, RAMDISK_MODULES);
  for (const [index, module] of modules.entries()) {
    // The shell of the ramdisk inserts them in the order of their names.
    const name = `${String(index).padStart(2, '0')}-${basename(module, '.xz')}`;
    const copy = join(content, 'modules', name);
    await copyFile(module, module.endsWith('.xz') ? `${copy}.xz` : copy);
    if (module.endsWith('.xz')) await run('xz', ['-d', `${copy}.xz`]);
    names.push(join('modules', name));
  }
  await archive(content, names, file);
  await rm(content, { recursive: true });
}

async function archive(content: string, names: readonly string[], file: string): Promise<void> {
  const cpio = spawn('cpio', ['--create', '--format=newc', '--quiet'], {
    cwd: content,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(cpio, 'close');
  cpio.stdin.end(names.join('\n'));
  await pipeline(cpio.stdout, createWriteStream(file));
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new Error(`cpio ended with ${code}`);
}

async function makeLayer(content: string, file: string): Promise<void> {
  const { stdout } = await run('du', ['--summarize', '--block-size=1M', content]);
  // Room for the file system's own records.
  const sizeMib = Math.ceil(Number.parseInt(stdout, 10) * 1.25) + 16;
  await run('mke2fs', [
    '-q',
    '-t',
    'ext4',
    '-O',
    '^has_journal',
    '-d',
    content,
    file,
    `${sizeMib}M`,
  ]);
  await rm(content, { recursive: true });
}
