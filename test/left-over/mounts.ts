import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { delay } from '@lariat/kernel';

const run = promisify(execFile);
const ATTEMPTS = 20;
const PAUSE_MS = 100;

const isIn = (folder: string, path: string): boolean => path.startsWith(`${folder}/`);

/** Mount points in the folder, the latest first. */
export function mountsIn(folder: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => unescaped(line.split(' ')[4] ?? ''))
    .filter((path) => isIn(folder, path))
    .toReversed();
}

/** Loop devices on files in the folder. */
function loopsIn(folder: string): readonly string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => {
      const file = `/sys/block/${name}/loop/backing_file`;
      return existsSync(file) && isIn(folder, readFileSync(file, 'utf8').trim());
    })
    .map((name) => `/dev/${name}`);
}

/** Takes mounts and loop devices of the folder away, whichever of them hold the others. */
export async function unmountAllIn(folder: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const mounts = mountsIn(folder);
    const loops = loopsIn(folder);
    if (mounts.length === 0 && loops.length === 0) return;
    const failures: unknown[] = [];
    for (const path of mounts) await run('umount', [path]).catch((error) => failures.push(error));
    for (const path of loopsIn(folder))
      await run('losetup', ['--detach', path]).catch((error) => failures.push(error));
    if (attempt >= ATTEMPTS && failures.length > 0)
      throw new Error(`cannot unmount ${[...mounts, ...loops].join(', ')}`, { cause: failures[0] });
    if (failures.length > 0) await delay(PAUSE_MS);
  }
}

/** mountinfo has blanks and backslashes as octal numbers (proc(5)). */
const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
