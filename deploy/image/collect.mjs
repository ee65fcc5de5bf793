// Puts what an image runs into a folder: the bundles, and the packages with native code that are not in them.
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BY_PATH, PROGRAMS } from '../../tools/programs.mjs';

const ROOT = join(import.meta.dirname, '..', '..');
/** As tools/bundle.mjs leaves them outside; @node-rs/crc32 stands for what begins with @node-rs/. */
const OUTSIDE = ['lmdb', 'msgpackr-extract', '@node-rs/crc32', 'ioredis'];

const folder = process.argv[2];
if (folder === undefined) {
  process.stderr.write('usage: node deploy/image/collect.mjs FOLDER\n');
  process.exit(2);
}

/** The package and all that it needs, as far as it was installed: of native code, what is for this machine. */
function withDependencies(names, found = new Set()) {
  for (const name of names) {
    const manifest = join(ROOT, 'node_modules', name, 'package.json');
    if (found.has(name) || !existsSync(manifest)) continue;
    found.add(name);
    const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(manifest));
    withDependencies([...Object.keys(dependencies), ...Object.keys(optionalDependencies)], found);
  }
  return found;
}

for (const file of [...PROGRAMS.map((program) => program.file), ...BY_PATH]) {
  mkdirSync(join(folder, dirname(file)), { recursive: true });
  cpSync(join(ROOT, file), join(folder, file));
}
for (const name of withDependencies(OUTSIDE)) {
  cpSync(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name), { recursive: true });
}
// The bundles are ES modules.
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
