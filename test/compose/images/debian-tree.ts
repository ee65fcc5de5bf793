import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CHECKOUT } from '@lariat/cli';
import { NotToBeHad } from '../../debian/packages.js';
import { run } from '../../debian/programs.js';
import { CACHE, type EngineEnvironment } from '../engine/engine-programs.js';

const TIMEOUT_MS = 600_000;
/** What node needs, and what the images of NATS and Redis must have. */
const PACKAGES = ['libatomic1', 'libstdc++6', 'redis-server', 'wget'];

/** In memory, where dpkg's many syncs cost nothing; no package source is left, as there is none in a container. */
const MAKE = `
set -e
mount -t tmpfs debian "$1"
debootstrap --variant=minbase --include="$2" "$3" "$1/root" >"$4" 2>&1
: > "$1/root/etc/apt/sources.list"
rm -rf "$1"/root/var/cache/apt/archives/*.deb "$1"/root/var/lib/apt/lists/*
tar --create --file "$5" --directory "$1/root" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' .
`;

/** A Debian of this machine's release as a tar archive, made by debootstrap once for all runs. */
export async function debianTree(programs: EngineEnvironment): Promise<string> {
  const release = releaseOfMachine();
  const packages = [...agentPackages(), ...PACKAGES];
  const id = createHash('sha256').update([release, MAKE, ...packages].join('\n'));
  const file = join(CACHE, `debian-${id.digest('hex').slice(0, 16)}.tar`);
  if (existsSync(file)) return file;
  await mkdir(CACHE, { recursive: true });
  const making = await mkdtemp(join(CACHE, 'making-'));
  const log = join(making, 'debootstrap.log');
  const made = join(making, 'made.tar');
  const root = join(making, 'root');
  try {
    await mkdir(root);
    const args = ['sh', '-c', MAKE, 'make', root, packages.join(','), release, log, made];
    await run('unshare', ['--mount', ...args], { env: programs, timeout: TIMEOUT_MS });
    await rename(made, file);
  } catch (error) {
    const said = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
    throw new NotToBeHad(`debootstrap ${release}: ${said.at(-1) ?? String(error)}`, {
      cause: error,
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return file;
}

/** What deploy/image/Dockerfile adds to an agent: in a container there is no package source to have it from. */
function agentPackages(): readonly string[] {
  const dockerfile = readFileSync(join(CHECKOUT, 'deploy', 'image', 'Dockerfile'), 'utf8');
  const [, names] = /apt-get install .*\\\n([^&]+)\\\n/.exec(dockerfile) ?? [];
  if (names === undefined) throw new Error('deploy/image/Dockerfile installs no packages');
  return names.trim().split(/\s+/);
}

/** Node.js is copied from this machine into images: their C library must not be older than its own. */
function releaseOfMachine(): string {
  const release = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  if (release === undefined) throw new NotToBeHad('/etc/os-release names no release of Debian');
  return release;
}
