import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';
import { LariatError } from '@lariat/kernel';
import { CHECKOUT } from './paths.js';

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    // Absent and not executable are the same answer here.
    return false;
  }
}

/** $LARIAT_NATS_SERVER, else PATH, else the one that `./lariat` has fetched. */
export function findNatsServer(env: NodeJS.ProcessEnv = process.env): string {
  const named = env['LARIAT_NATS_SERVER'];
  const folders = (env['PATH'] ?? '').split(delimiter).filter(isAbsolute);
  const candidates =
    named === undefined || named === ''
      ? [...folders, join(CHECKOUT, '.lariat', 'bin')].map((folder) => join(folder, 'nats-server'))
      : [named];
  const found = candidates.find(isExecutable);
  if (found !== undefined) return found;
  throw new LariatError({
    kind: 'precondition',
    code: 'NATS_SERVER_MISSING',
    message:
      named === undefined || named === ''
        ? "There is no nats-server on PATH. Run './lariat up', which fetches one, or set LARIAT_NATS_SERVER to its path."
        : `LARIAT_NATS_SERVER is ${named}, which is not an executable file: correct it or unset it.`,
  });
}
