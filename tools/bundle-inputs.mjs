import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const recordOf = (file) => `${file}.inputs.json`;

function digestOf(root, modules) {
  const hash = createHash('sha256');
  for (const module of modules) {
    const content = readFileSync(join(root, module));
    hash.update(`${module} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

/** What a bundle was made of, to be kept beside it: path and content. `modules` are paths in the checkout. */
export function inputsRecord(root, file, modules) {
  const record = { digest: digestOf(root, modules), modules };
  return { path: recordOf(file), content: `${JSON.stringify(record)}\n` };
}

/** Whether it has been made of what is built now. */
export function isOfThisBuild(root, file) {
  try {
    const { digest, modules } = JSON.parse(readFileSync(join(root, recordOf(file)), 'utf8'));
    return digest === digestOf(root, modules);
  } catch (error) {
    // It, or a module of it, is not there.
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}
