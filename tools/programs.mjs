import { join } from 'node:path';

/** As libs/kernel's `bundleOf`, which is not there before the first build. */
const bundleOf = (entry) => entry.replace(/\.js$/, '.bundle.js');

const program = (entry, standsFor = entry) => ({ entry, file: bundleOf(standsFor) });

export const CLI = program(join('apps', 'cli', 'dist', 'main.js'));

/**
 * What is run as a process, and the one file that it is run from. The plugin host's is outside of its library, which knows
 * no app: nx may put a library's dist back from its cache when an app in the bundle has changed.
 */
export const PROGRAMS = [
  CLI,
  program(join('apps', 'cli', 'dist', 'cluster', 'supervise.js')),
  program(join('apps', 'csi-plugin', 'dist', 'main.js')),
  program(join('apps', 'node-agent', 'dist', 'main.js')),
  program(join('apps', 'node-agent', 'dist', 'nbd', 'main.js')),
  program(join('apps', 'soft-target', 'dist', 'main.js')),
  program(join('apps', 'soft-target', 'dist', 'check', 'read-metadata-child.js')),
  program(join('tools', 'plugin-host.mjs'), join('tools', 'dist', 'plugin-host.js')),
];

/** What programs start, or read, by its path, beside each other; of the modules, those that import nothing of ours. */
export const BY_PATH = [
  'apps/soft-target/dist/bdev/lvol/digest-worker.js',
  'apps/backing-image-svc/dist/adapters/hash/hash-worker.js',
  'apps/csi-plugin/proto/csi.proto',
];
