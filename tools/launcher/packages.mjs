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

/** No package needs its install script here, and scripts write outside the checkout. */
const FLAGS = [
  ...['--ignore-scripts', '--no-audit', '--no-fund'],
  ...['--prefer-offline', '--loglevel=error'],
];

/** What npm says (its code EUSAGE) when it finds a lock file out of step with the package.json files. */
const OUT_OF_STEP = 'can only install packages when your package.json and';
const COMPLAINT = /^npm error (?:Missing|Invalid): (.*)$/gm;
/** No version: the package could not be looked up, and as it is optional, it is one for another platform. */
const WITHOUT_VERSION = /@ from lock file$/;

/**
 * True when npm ci refuses for the sake of packages of other platforms alone. A registry that mirrors only
 * some platforms does not have them; npm install takes the rest as the lock file says.
 */
export function lacksOtherPlatformsOnly(output) {
  const complaints = [...output.matchAll(COMPLAINT)].map((match) => match[1]);
  return (
    output.includes(OUT_OF_STEP) &&
    complaints.length > 0 &&
    complaints.every((complaint) => WITHOUT_VERSION.test(complaint))
  );
}

export function installFailure(command, { code, output }) {
  if (code === 127) {
    return new SetupError('npm is missing: install it (it comes with Node.js), then try again.');
  }
  if (output.includes(OUT_OF_STEP)) {
    return new SetupError(
      'package-lock.json does not fit the package.json files: run npm install, then try again.',
    );
  }
  return new SetupError(
    `${command} failed (exit code ${code}):\n${tail(output)}\nlariat: check that the npm registry can be reached (npm ping), then try again.`,
  );
}

async function install(root) {
  const ci = await run('npm', ['ci', ...FLAGS], { cwd: root });
  if (ci.code === 0) return;
  if (!lacksOtherPlatformsOnly(ci.output)) throw installFailure('npm ci', ci);
  // --no-save: neither package.json nor the lock file is written.
  const rest = await run('npm', ['install', '--no-save', ...FLAGS], { cwd: root });
  if (rest.code !== 0) throw installFailure('npm install', rest);
}

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
    say('installing packages (npm) ...');
    const start = performance.now();
    await install(root);
    say(`installed packages in ${seconds(start)}`);
  });
}
