import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { run, tail } from './run.mjs';
import { SetupError, say, seconds } from './say.mjs';
import { once } from './stamp.mjs';
import { PROGRAMS } from '../programs.mjs';

const SOLUTION = 'tsconfig.solution.json';
const BUNDLE = join('tools', 'bundle.mjs');
const STEPS = [[join('node_modules', 'typescript', 'bin', 'tsc'), '-b', SOLUTION], [BUNDLE]];
const SHARED_INPUTS = [
  ...[SOLUTION, 'tsconfig.settings.json', 'package-lock.json'],
  ...[BUNDLE, join('tools', 'programs.mjs'), join('tools', 'plugin-host.mjs')],
];

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

/** Size and time of change of each source file: about 10 ms for the repository. */
function digestOf(root, projects) {
  const hash = createHash('sha256');
  const add = (path) => {
    const { size, mtimeMs } = statSync(path);
    hash.update(`${path} ${size} ${mtimeMs}\n`);
  };
  for (const name of SHARED_INPUTS) add(join(root, name));
  for (const project of projects) {
    add(join(project, 'tsconfig.json'));
    add(join(project, 'package.json'));
    for (const path of filesBelow(join(project, 'src'))) add(path);
  }
  return `${hash.digest('hex')}\n`;
}

export async function ensureBuild(root) {
  const { references } = JSON.parse(readFileSync(join(root, SOLUTION), 'utf8'));
  const projects = references.map(({ path }) => join(root, path));
  const isBuilt = () =>
    projects.every((path) => existsSync(join(path, 'dist'))) &&
    PROGRAMS.every(({ file }) => existsSync(join(root, file)));
  const inputs = (evenIfMissing = false) =>
    evenIfMissing || isBuilt() ? digestOf(root, projects) : undefined;
  await once(root, 'build', inputs, async () => {
    say('building ...');
    const start = performance.now();
    for (const step of STEPS) {
      const { code, output } = await run(process.execPath, step, { cwd: root });
      if (code !== 0) {
        throw new SetupError(
          `the build failed:\n${tail(output, 40)}\nlariat: correct the sources above, or restore the checkout, then try again.`,
        );
      }
    }
    say(`built in ${seconds(start)}`);
  });
}
