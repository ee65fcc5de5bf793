import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, tail } from './run.mjs';
import { SetupError, say, seconds } from './say.mjs';
import { once } from './stamp.mjs';

/** npm's own record of what it has installed; it writes it last. */
const INSTALLED = join('node_modules', '.package-lock.json');

/**
 * True when what is installed is what the lock file asks for, whoever installed it. Optional packages are
 * those of other platforms: they may be missing.
 */
export function isInstalled(lock, installed) {
  return Object.entries(lock.packages).every(([path, wanted]) => {
    if (path === '') return true;
    const found = installed.packages[path];
    if (found === undefined) return wanted.optional === true || wanted.devOptional === true;
    return found.version === wanted.version && found.link === wanted.link;
  });
}

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

export async function ensurePackages(root) {
  const lockPath = join(root, 'package-lock.json');
  const installedPath = join(root, INSTALLED);
  const inputs = (evenIfMissing = false) => {
    if (!evenIfMissing && !existsSync(installedPath)) return undefined;
    const lock = createHash('sha256').update(readFileSync(lockPath)).digest('hex');
    return `${process.platform}-${process.arch} ${lock}\n`;
  };
  await once(root, 'packages', inputs, async () => {
    if (existsSync(installedPath) && isInstalled(readJson(lockPath), readJson(installedPath)))
      return;
    say('installing packages (npm ci) ...');
    const start = performance.now();
    const { code, output } = await run(
      'npm',
      ['ci', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'],
      { cwd: root },
    );
    if (code === 127) {
      throw new SetupError('npm is missing: install it (it comes with Node.js), then try again.');
    }
    if (code !== 0) {
      throw new SetupError(
        `npm ci failed (exit code ${code}):\n${tail(output)}\nlariat: check that the npm registry can be reached (npm ping), then try again.`,
      );
    }
    say(`installed packages in ${seconds(start)}`);
  });
}
