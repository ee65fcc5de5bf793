import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LariatError } from '@lariat/kernel';
import { createUser, fromSeed } from '@nats-io/nkeys';
import { type BusRole, userOf } from './roles.js';
import type { BusUser } from './server-config.js';

/** As `nk` and other tools of NATS name files of seeds. */
const SUFFIX = '.nk';

export const credentialsFile = (folder: string, role: BusRole): string =>
  join(folder, `${userOf(role)}${SUFFIX}`);

/** Makes a file of credentials for each role that has none; those that are there stay as they are. */
export function makeCredentials(folder: string, roles: readonly BusRole[]): readonly BusUser[] {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return roles.map((role) => ({ role, publicKey: keyOf(folder, role) }));
}

function keyOf(folder: string, role: BusRole): string {
  const path = credentialsFile(folder, role);
  try {
    writeFileSync(path, createUser().getSeed(), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return fromSeed(readSeed(path, role)).getPublicKey();
}

/** The seed in a file of credentials; of a folder, in the role's own. */
export function readSeed(path: string, role: BusRole): Uint8Array {
  let file = path;
  let text: string;
  try {
    if (statSync(path).isDirectory()) file = credentialsFile(path, role);
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw invalid(`${file} cannot be read (${(cause as Error).message}).`, cause);
  }
  // A file that was written by hand may have comments or a last line that is empty.
  const seed = /^SU[A-Z2-7]+$/m.exec(text)?.[0] ?? '';
  const bytes = new TextEncoder().encode(seed);
  try {
    fromSeed(bytes);
  } catch (cause) {
    throw invalid(`${file} holds no seed of a user's nkey.`, cause);
  }
  return bytes;
}

const invalid = (what: string, cause: unknown): LariatError =>
  new LariatError({
    kind: 'invalid',
    code: 'NATS_CREDENTIALS_INVALID',
    message: `${what} LARIAT_NATS_CREDENTIALS must name a file of credentials, or a folder of them, as 'lariat credentials' makes them.`,
    cause,
  });
