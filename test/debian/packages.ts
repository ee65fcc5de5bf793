import { mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './programs.js';

const DOWNLOAD_TIMEOUT_MS = 180_000;

/** apt-get has no package, or no network, for what a test is made of. */
export class NotToBeHad extends Error {
  override readonly name = 'NotToBeHad';
}

/** Of the packages and what they need, those that this machine does not have installed. */
export async function lackingOf(packages: readonly string[]): Promise<readonly string[]> {
  const plan = await apt('apt-get', [
    ...['install', '--yes', '--no-install-recommends', '--print-uris', '-qq'],
    ...packages,
  ]);
  return plan.split('\n').flatMap((line) => /^'\S+' ([^_\s]+)_\S+ \d+/.exec(line)?.[1] ?? []);
}

/** Downloads the packages and lays their files into `layer`, which is made; none is installed. */
export async function unpackInto(layer: string, names: readonly string[]): Promise<void> {
  const archives = `${layer}.archives`;
  await mkdir(archives);
  await mkdir(layer);
  if (names.length > 0)
    await withFreshLists(() => apt('apt-get', ['download', ...names], archives));
  for (const archive of await readdir(archives))
    await run('dpkg', ['-x', join(archives, archive), layer]);
  await rm(archives, { recursive: true });
  await mergeIntoUsr(layer);
}

/** A machine whose package lists are old, or were never fetched, gets them once. */
export async function withFreshLists<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch {
    await apt('apt-get', ['update', '-qq']);
    return work();
  }
}

export async function apt(
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
    if (!existsSync(folder)) continue;
    await mkdir(join(layer, 'usr', name), { recursive: true });
    await run('cp', ['-a', `${folder}/.`, join(layer, 'usr', name)]);
    await rm(folder, { recursive: true });
    await symlink(join('usr', name), folder);
  }
}
