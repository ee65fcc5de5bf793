import { join } from 'node:path';
import { isOfThisBuild } from './bundle-inputs.mjs';
import { PROGRAMS } from './programs.mjs';

/** Before a suite that starts programs: one that was compiled anew and not bundled would be tested as it was. */
export function setup() {
  const root = join(import.meta.dirname, '..');
  const stale = PROGRAMS.filter(({ file }) => !isOfThisBuild(root, file));
  if (stale.length === 0) return;
  const files = stale.map(({ file }) => file).join(', ');
  throw new Error(`not of this build: ${files}. Run \`npm run build\`.`);
}
