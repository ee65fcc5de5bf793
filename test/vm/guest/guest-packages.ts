import { readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { apt, lackingOf, NotToBeHad, unpackInto, withFreshLists } from '../../debian/packages.js';
import { run } from '../../debian/programs.js';

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

export interface Unpacked {
  /** What is laid over the host's files. */
  readonly layer: string;
  readonly kernel: string;
  readonly release: string;
}

/** Downloads the packages that the host lacks into `folder` and unpacks them there; none is installed. */
export async function unpackPackages(folder: string): Promise<Unpacked> {
  const names = await withFreshLists(wanted);
  const layer = join(folder, 'layer');
  await unpackInto(layer, names);
  return findKernel(folder, layer);
}

async function wanted(): Promise<readonly string[]> {
  const depends = await apt('apt-cache', ['depends', '--important', KERNEL_PACKAGE]);
  const kernel = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (kernel === undefined) throw new NotToBeHad(`apt-cache knows no kernel of ${KERNEL_PACKAGE}`);
  return [...new Set([kernel, ...ALWAYS_UNPACKED, ...(await lackingOf(PACKAGES))])];
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
