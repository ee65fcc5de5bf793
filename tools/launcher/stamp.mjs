import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { withLock } from './lock.mjs';

const stampPath = (root, name) => join(root, '.lariat', 'stamps', name);

function readStamp(root, name) {
  try {
    return readFileSync(stampPath(root, name), 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function writeStamp(root, name, value) {
  const path = stampPath(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, value);
  renameSync(`${path}.${process.pid}`, path);
}

/**
 * Does `work` unless it was done for the same inputs. `inputs()` answers a digest, or undefined when the
 * outcome is missing. Of several at once one works and the others wait for it.
 */
export async function once(root, name, inputs, work) {
  const isDone = () => {
    const now = inputs();
    return now !== undefined && readStamp(root, name) === now;
  };
  if (isDone()) return;
  await withLock(join(root, '.lariat', `${name}.lock`), async () => {
    if (isDone()) return;
    // Read before the work: what changes under it is seen as new the next time.
    const before = inputs(true);
    await work();
    writeStamp(root, name, before);
  });
}
