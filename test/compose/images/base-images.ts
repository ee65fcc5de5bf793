import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CHECKOUT, findNatsServer } from '@lariat/cli';
import { NotToBeHad } from '../../debian/packages.js';
import { run } from '../../debian/programs.js';
import type { DockerEngine } from '../engine/docker-engine.js';

const DEBIAN = 'lariat-tests/debian:made';
const BASE = 'lariat-tests/base:made';
const BUILD = 'lariat-tests/build:made';
const NATS = 'lariat-tests/nats:made';

/** In the place of those that a registry has, by the variables of deploy/compose/.env. */
export const IMAGES: Readonly<Record<string, string>> = {
  LARIAT_BASE_IMAGE: BASE,
  LARIAT_BUILD_IMAGE: BUILD,
  LARIAT_NATS_IMAGE: NATS,
  LARIAT_REDIS_IMAGE: BASE,
};

const PATHS = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What is there for checks and tests alone: half of all that is installed. */
const NOT_TO_BUILD = [
  ...['.cache', '.vitest-cache', '@nx', 'nx', '@oxlint*', 'oxlint*', '@oxfmt', 'oxfmt'],
  ...['@swc', 'dependency-cruiser', 'lightningcss*'],
];

/** Makes what deploy/compose and its Dockerfile take from a registry otherwise. */
export async function makeBaseImages(engine: DockerEngine, debian: string): Promise<void> {
  const env = engine.environment;
  await run('docker', ['import', '--change', `ENV ${PATHS}`, debian, DEBIAN], { env });
  await startsContainers(engine);
  await build(engine, BASE, [`FROM ${DEBIAN}`, 'COPY node /usr/local/bin/'], process.execPath);
  const nats = [`FROM ${BASE}`, 'COPY nats-server /usr/local/bin/', 'ENTRYPOINT ["nats-server"]'];
  // The packages as they are installed here: the build in the image finds them, and asks no registry.
  const packages = [`FROM ${BASE}`, 'COPY node_modules /src/node_modules'];
  await Promise.all([
    build(engine, NATS, nats, findNatsServer()),
    build(engine, BUILD, packages, join(CHECKOUT, 'node_modules')),
  ]);
}

/** What a kernel does not allow shows when a container starts, and is then the fault of nothing that is tested. */
async function startsContainers(engine: DockerEngine): Promise<void> {
  const args = ['run', '--rm', '--publish', '127.0.0.1::80', DEBIAN, 'true'];
  try {
    await run('docker', args, { env: engine.environment });
  } catch (error) {
    const said = String((error as { stderr?: string }).stderr ?? error).trim();
    throw new NotToBeHad(`Docker's engine starts no container here: ${said.split('\n')[0]}`, {
      cause: error,
    });
  }
}

/** With one file or folder to copy from, whatever lies beside it. */
async function build(
  engine: DockerEngine,
  tag: string,
  dockerfile: readonly string[],
  source: string,
): Promise<void> {
  const recipe = join(engine.folder, `${basename(source)}.dockerfile`);
  await writeFile(recipe, `${dockerfile.join('\n')}\n`);
  const context = [
    ...['--create', ...NOT_TO_BUILD.map((name) => `--exclude=node_modules/${name}`)],
    ...['--directory', dirname(recipe), basename(recipe)],
    ...['--directory', dirname(source), basename(source)],
  ];
  const tar = spawn('tar', context, { stdio: ['ignore', 'pipe', 'inherit'] });
  const docker = spawn(
    'docker',
    ['build', '--quiet', '--file', basename(recipe), '--tag', tag, '-'],
    {
      env: engine.environment,
      stdio: ['pipe', 'ignore', 'pipe'],
    },
  );
  let said = '';
  docker.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const ended = Promise.all([tar, docker].map((child) => once(child, 'close')));
  // What ends too early is told of by its exit code.
  await pipeline(tar.stdout, docker.stdin).catch(() => undefined);
  const codes = (await ended).map(([code]) => code as number | null);
  if (codes.some((code) => code !== 0)) throw new Error(`cannot make ${tag}: ${said.trim()}`);
}
