import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { findNatsServer } from '@lariat/cli';
import { NotToBeHad } from '../debian/packages.js';
import { isInstalled, run } from '../debian/programs.js';
import { removeCgroups } from './engine/cgroups.js';
import { DockerEngine } from './engine/docker-engine.js';
import { enginePrograms } from './engine/engine-programs.js';
import { startRelay } from './engine/nats-relay.js';
import { IMAGES, makeBaseImages } from './images/base-images.js';
import { debianTree } from './images/debian-tree.js';
import type { EngineAccess } from './engine-access.js';
import { compose, NODES, PLAIN, PROJECT, Stack } from './stack.js';

const PROGRAMS = ['apt-get', 'dpkg', 'nsenter', 'python3', 'setpriv', 'tar', 'unshare'];
const NATS_PORT = 4222;
/** Docker's volumes that tests look into. */
const SEEN = [...NODES, 'csi'];
/** Of all that are built from one target the image is the same. */
const ONE_OF_EACH = ['volume-svc', 'node-1'];

export interface RunningStack {
  readonly access: EngineAccess;
  stop(): Promise<void>;
}

/** Engine, images and containers, all of it new; or why there can be none on this machine. */
export async function startStack(): Promise<RunningStack | string> {
  const missing = await whatIsMissing();
  if (missing !== undefined) return missing;
  removeCgroups();
  try {
    const programs = await timed('programs of the engine', enginePrograms);
    const debian = await timed('tree of Debian', () => debianTree(programs));
    const engine = await timed('engine', () => DockerEngine.start(programs));
    return await setUpOn(engine, debian);
  } catch (error) {
    if (error instanceof NotToBeHad) return error.message;
    throw error;
  }
}

async function setUpOn(engine: DockerEngine, debian: string): Promise<RunningStack> {
  const environment = { ...engine.environment, ...IMAGES, LARIAT_TAG: 'tests' } as Record<
    string,
    string
  >;
  try {
    await timed('base images', () => makeBaseImages(engine, debian));
    await timed('images of deploy/image', () =>
      compose({ environment }, PLAIN, 'build', ...ONE_OF_EACH),
    );
    await timed('containers', () => compose({ environment }, PLAIN, 'up', '--detach'));
    const relay = await startRelay(engine, NATS_PORT);
    for (const name of SEEN) await symlink(dataOf(engine, name), join(engine.folder, name));
    const access = { environment, folder: engine.folder, pid: engine.pid, natsSocket: relay.path };
    const stack = await Stack.open(access);
    await timed('cluster', () => stack.ready());
    await stack.close();
    return {
      access,
      stop: async () => {
        await compose({ environment }, PLAIN, 'down', '--volumes');
        // A process in the engine's network keeps that network.
        await relay.stop();
        await engine.stop();
      },
    };
  } catch (error) {
    const said = (error as { readonly stdout?: string }).stdout ?? '';
    process.stderr.write(`${said.slice(-8_000)}\n${await logsOf(environment)}`);
    await engine.stop();
    throw error;
  }
}

/** Docker's volumes are in the engine's memory, which other processes see through one of its own. */
const dataOf = (engine: DockerEngine, volume: string): string =>
  `/proc/${engine.pid}/root${engine.folder}/memory/data/volumes/${PROJECT}_${volume}/_data`;

const logsOf = (environment: Record<string, string>): Promise<string> =>
  compose({ environment }, PLAIN, 'logs', '--no-color', '--tail', '30').catch(
    (error: unknown) => `there are no logs: ${String(error)}\n`,
  );

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  process.stderr.write(`${what}: ${Math.round((performance.now() - start) / 1000)} s\n`);
  return result;
}

async function whatIsMissing(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can start an engine';
  if (process.arch !== 'x64') return `the packages are for x64, not for ${process.arch}`;
  const missing = PROGRAMS.filter((program) => !isInstalled(program));
  if (missing.length > 0) return `${missing.join(', ')} not installed`;
  const { stdout } = await run(findNatsServer(), ['--version']);
  const [, minor = '0'] = /v2\.(\d+)/.exec(stdout) ?? [];
  return Number(minor) >= 10
    ? undefined
    : `nats-server 2.10 is needed for deploy/compose/nats, here is ${stdout.trim()}`;
}
