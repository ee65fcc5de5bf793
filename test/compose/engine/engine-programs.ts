import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CHECKOUT } from '@lariat/cli';
import { lackingOf, unpackInto, withFreshLists } from '../../debian/packages.js';

export const CACHE = join(CHECKOUT, '.lariat', 'compose');
const PACKAGES = ['debootstrap', 'docker-compose', 'docker.io', 'iproute2', 'iptables'];
/** Changed with what is made of the packages, so that what an earlier make left is not taken. */
const RECIPE = '1';

/** The environment in which programs of the engine are found, be they installed or unpacked. */
export type EngineEnvironment = NodeJS.ProcessEnv;

/** Unpacks what the machine lacks below `.lariat`, once for all runs; nothing is installed. */
export async function enginePrograms(): Promise<EngineEnvironment> {
  const lacking = await withFreshLists(() => lackingOf(PACKAGES));
  if (lacking.length === 0) return process.env;
  const id = createHash('sha256').update(`${RECIPE}\n${lacking.toSorted().join('\n')}`);
  const layer = join(CACHE, `programs-${id.digest('hex').slice(0, 16)}`);
  if (!existsSync(layer)) await make(layer, lacking);
  return environmentOf(layer);
}

async function make(layer: string, names: readonly string[]): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const making = await mkdtemp(join(CACHE, 'making-'));
  try {
    const unpacked = join(making, 'layer');
    await unpackInto(unpacked, names);
    const sbin = join(unpacked, 'usr', 'sbin');
    // What an installation would do, by Debian's alternatives.
    if (existsSync(join(sbin, 'xtables-nft-multi')))
      for (const name of ['iptables', 'ip6tables'])
        await symlink('xtables-nft-multi', join(sbin, name));
    // Appears whole or not at all, so that an interrupted make is not taken for a finished one.
    await rename(unpacked, layer);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
}

function environmentOf(layer: string): EngineEnvironment {
  const usr = (...path: readonly string[]): string => join(layer, 'usr', ...path);
  const libraries = usr('lib', 'x86_64-linux-gnu');
  const before = (name: string, folder: string): Record<string, string> => {
    const rest = process.env[name];
    return { [name]: rest === undefined ? folder : `${folder}${delimiter}${rest}` };
  };
  const where = (name: string, folder: string): Record<string, string> =>
    existsSync(folder) ? { [name]: folder } : {};
  return {
    ...process.env,
    ...before('PATH', [usr('bin'), usr('sbin')].join(delimiter)),
    ...before('LD_LIBRARY_PATH', libraries),
    ...before('PYTHONPATH', usr('lib', 'python3', 'dist-packages')),
    ...where('XTABLES_LIBDIR', join(libraries, 'xtables')),
    ...where('DEBOOTSTRAP_DIR', usr('share', 'debootstrap')),
  };
}
