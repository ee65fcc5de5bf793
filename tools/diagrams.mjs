import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '..');
export const DIAGRAM_FILE = join(root, 'docs', 'volume-states.md');

/** The page of the volume's states, from the table that the services run on; the packages must be built. */
export async function volumeStatesPage() {
  const contracts = join(root, 'libs', 'contracts', 'dist', 'index.js');
  const kernel = join(root, 'libs', 'kernel', 'dist', 'index.js');
  const { CONTENT_MACHINE, VOLUME_MACHINE } = await import(pathToFileURL(contracts).href);
  const { toMermaid } = await import(pathToFileURL(kernel).href);
  return [
    '# States of a volume',
    '',
    'Made from `VOLUME_MACHINE` (libs/contracts/src/volume.ts) by `node tools/diagrams.mjs`; a test keeps it up to date.',
    '',
    '```mermaid',
    `${toMermaid(VOLUME_MACHINE)}    [*] --> creating`,
    '    deleting --> [*]: deleted',
    '```',
    '',
    'And of its content, from `CONTENT_MACHINE` (libs/contracts/src/content.ts). mkfs may run where `intend-format` leads on, and nowhere else;',
    'a volume with an image or a source begins as `foreign` (docs/adr/0030).',
    '',
    '```mermaid',
    `${toMermaid(CONTENT_MACHINE)}    [*] --> blank`,
    '    [*] --> foreign',
    '```',
    '',
  ].join('\n');
}

if (process.argv[1] === import.meta.filename) {
  const page = await volumeStatesPage();
  if (process.argv.includes('--check')) {
    if (readFileSync(DIAGRAM_FILE, 'utf8') !== page) {
      process.stderr.write('docs/volume-states.md is old: run node tools/diagrams.mjs\n');
      process.exitCode = 1;
    }
  } else writeFileSync(DIAGRAM_FILE, page);
}
