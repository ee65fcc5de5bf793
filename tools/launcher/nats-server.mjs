import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { withLock } from './lock.mjs';
import { SOURCES } from './nats-sources.mjs';
import { run } from './run.mjs';
import { SetupError, say, seconds } from './say.mjs';

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Absent and not executable are the same answer here.
    return false;
  }
}

const fetchedPath = (root) => join(root, '.lariat', 'bin', 'nats-server');

/** $LARIAT_NATS_SERVER, else PATH, else the one fetched before; undefined when there is none. */
export function findNatsServer(root, env = process.env) {
  const named = env.LARIAT_NATS_SERVER;
  if (named !== undefined && named !== '') {
    if (isExecutable(named)) return named;
    throw new SetupError(
      `LARIAT_NATS_SERVER is ${named}, which is not an executable file: correct it or unset it.`,
    );
  }
  const folders = (env.PATH ?? '').split(delimiter).filter(isAbsolute);
  const candidates = folders.map((folder) => join(folder, 'nats-server'));
  return [...candidates, fetchedPath(root)].find(isExecutable);
}

/** Fetches from the first source that answers; each says in its error why it could not. */
async function fetchNatsServer(root, sources) {
  const target = fetchedPath(root);
  mkdirSync(join(root, '.lariat', 'bin'), { recursive: true });
  const reasons = [];
  for (const source of sources) {
    const work = mkdtempSync(join(root, '.lariat', 'fetch-'));
    const start = performance.now();
    try {
      say(`fetching nats-server from ${source.name} ...`);
      const binary = await source.fetch(work);
      const ready = join(work, 'nats-server.ready');
      copyFileSync(binary, ready);
      chmodSync(ready, 0o755);
      const { code, output } = await run(ready, ['--version'], { timeoutMs: 10_000 });
      if (code !== 0) throw new SetupError(`it does not run here: ${output.trim()}`);
      renameSync(ready, target);
      say(`fetched ${output.trim()} in ${seconds(start)}`);
      return target;
    } catch (error) {
      reasons.push(`${source.name}: ${error.message}`);
      say(`  not from there: ${error.message}`);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }
  throw new SetupError(
    [
      'no nats-server was found, and none could be fetched:',
      ...reasons.map((reason) => `  ${reason}`),
      'Install it (Debian: apt install nats-server; or https://github.com/nats-io/nats-server/releases),',
      'or set LARIAT_NATS_SERVER to its path, then try again.',
    ].join('\n'),
  );
}

export async function ensureNatsServer(root, { env = process.env, sources = SOURCES } = {}) {
  const found = findNatsServer(root, env);
  if (found !== undefined) return found;
  return withLock(
    join(root, '.lariat', 'nats-server.lock'),
    async () => findNatsServer(root, env) ?? fetchNatsServer(root, sources),
  );
}
