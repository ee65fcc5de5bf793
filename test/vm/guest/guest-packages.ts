import { access, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './programs.js';

/** Kernel, whatever version it has today, and what a guest needs beyond the host's files. */
const KERNEL_PACKAGE = 'linux-image-cloud-amd64';
const PACKAGES = [
  'busybox-static',
  'cryptsetup-bin',
  'dmsetup',
  'e2fsprogs',
  'fio',
  'iproute2',
  'kmod',
  'nvme-cli',
  'qemu-guest-agent',
  'xfsprogs',
];
/** Also where the host has them: the ramdisk and `depmod` are made from them. */
const ALWAYS_UNPACKED = ['busybox-static', 'kmod', 'libkmod2'];
const DOWNLOAD_TIMEOUT_MS = 180_000;

export interface Unpacked {
  /** What is laid over the host's files. */
  readonly layer: string;
  readonly kernel: string;
  readonly release: string;
}

/** apt-get has no package, or no network, for what the guest is made of. */
export class NotToBeHad extends Error {
  override readonly name = 'NotToBeHad';
}

/** Downloads the packages that the host lacks into `folder` and unpacks them there; none is installed. */
export async function unpackPackages(folder: string): Promise<Unpacked> {
  const names = await withFreshLists(wanted);
  const archives = join(folder, 'archives');
  const layer = join(folder, 'layer');
  await mkdir(archives);
  await mkdir(layer);
  await withFreshLists(() => apt('apt-get', ['download', ...names], archives));
  for (const archive of await readdir(archives))
    await run('dpkg', ['-x', join(archives, archive), layer]);
  await rm(archives, { recursive: true });
  await mergeIntoUsr(layer);
  return findKernel(folder, layer);
}

async function wanted(): Promise<readonly string[]> {
  const depends = await apt('apt-cache', ['depends', '--important', KERNEL_PACKAGE]);
  const kernel = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (kernel === undefined) throw new NotToBeHad(`apt-cache knows no kernel of ${KERNEL_PACKAGE}`);
  const plan = await apt('apt-get', [
    ...['install', '--yes', '--no-install-recommends', '--print-uris', '-qq'],
    ...PACKAGES,
  ]);
  const lacking = plan
    .split('\n')
    .flatMap((line) => /^'\S+' ([^_\s]+)_\S+ \d+/.exec(line)?.[1] ?? []);
  return [...new Set([kernel, ...ALWAYS_UNPACKED, ...lacking])];
}

/** A machine whose package lists are old, or were never fetched, gets them once. */
async function withFreshLists<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch {
    await apt('apt-get', ['update', '-qq']);
    return work();
  }
}

async function apt(
  program: string,
  args: readonly string[],
  cwd: string = process.cwd(),
): Promise<string> {
  try {
    // The user that apt downloads as may not write where the checkout is.
    const options = program === 'apt-get' ? ['-o', 'APT::Sandbox::User=root'] : [];
    const { stdout } = await run(program, [...options, ...args], {
      cwd,
      timeout: DOWNLOAD_TIMEOUT_MS,
    });
    return stdout;
  } catch (error) {
    const printed = String((error as { stderr?: string }).stderr ?? error).trim();
    throw new NotToBeHad(`${program} ${args[0]}: ${printed.split('\n').at(-1)}`, { cause: error });
  }
}

/** Debian's /bin, /sbin and /lib are links into /usr; folders of those names in a layer above would hide all of them. */
async function mergeIntoUsr(layer: string): Promise<void> {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    const folder = join(layer, name);
    if (!(await exists(folder))) continue;
    await mkdir(join(layer, 'usr', name), { recursive: true });
    await run('cp', ['-a', `${folder}/.`, join(layer, 'usr', name)]);
    await rm(folder, { recursive: true });
    await symlink(join('usr', name), folder);
  }
}

async function findKernel(folder: string, layer: string): Promise<Unpacked> {
  const boot = join(layer, 'boot');
  const image = (await readdir(boot)).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) throw new Error(`no kernel was unpacked to ${boot}`);
  const release = image.slice('vmlinuz-'.length);
  const kernel = join(folder, 'vmlinuz');
  await rename(join(boot, image), kernel);
  await rm(boot, { recursive: true });
  await indexModules(layer, release);
  return { layer, kernel, release };
}

async function indexModules(layer: string, release: string): Promise<void> {
  await symlink('kmod', join(layer, 'usr', 'bin', 'depmod'));
  const libraries = join(layer, 'usr', 'lib', 'x86_64-linux-gnu');
  await run(join(layer, 'usr', 'bin', 'depmod'), ['-b', layer, release], {
    env: { ...process.env, LD_LIBRARY_PATH: libraries },
  });
}

/** Files of the modules and of what they need, in the order in which they can be inserted. */
export async function modulesInOrder(
  { layer, release }: Unpacked,
  names: readonly string[],
): Promise<readonly string[]> {
  const folder = join(layer, 'usr', 'lib', 'modules', release);
  const index = await readFile(join(folder, 'modules.dep'), 'utf8');
  const needs = new Map(
    index.split('\n').flatMap((line) => {
      const [file, rest = ''] = line.split(':');
      return file === undefined || file === ''
        ? []
        : [[file, rest.split(' ').filter((name) => name !== '')] as const];
    }),
  );
  const fileOf = (name: string): string | undefined =>
    [...needs.keys()].find((file) => new RegExp(`/${name}\\.ko(\\.xz)?$`).test(file));
  const order = new Set<string>();
  const add = (file: string): void => {
    for (const needed of needs.get(file) ?? []) add(needed);
    order.add(file);
  };
  for (const name of names) {
    const file = fileOf(name);
    // What is no module is built in.
    if (file !== undefined) add(file);
  }
  return [...order].map((file) => join(folder, file));
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
