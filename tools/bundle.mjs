// Puts the NBD server and its libraries into one file. An attachment waits for that process to start, and finding and
// reading some 70 modules took more of its time than all else together (docs/performance.md).
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const FOLDER = join(ROOT, 'apps', 'node-agent', 'dist', 'nbd');

const bundle = await rolldown({
  input: join(FOLDER, 'main.js'),
  platform: 'node',
  // Native code; loaded at the first digest.
  external: [/^@node-rs\//],
});
await bundle.write({ file: join(FOLDER, 'main.bundle.js'), format: 'esm', sourcemap: true });
await bundle.close();
