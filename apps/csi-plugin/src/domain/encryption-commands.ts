import type { Program } from './program.js';

/** Where the data begin under a header that was made here: what is below was never written, and reads as zeros. */
export const DATA_OFFSET_BYTES = 16 * 1024 * 1024;
const SECTOR_BYTES = 512;
/**
 * Passphrases are secrets of a cluster, not of a person, and many volumes may be opened at once: what a guess costs is fixed, and
 * not measured on a machine that does something else meanwhile.
 */
const PBKDF = [
  ...['--pbkdf', 'argon2id', '--pbkdf-memory', String(64 * 1024)],
  ...['--pbkdf-parallel', '1', '--pbkdf-force-iterations', '4'],
];
/** Of cryptsetup: no key slot opens with that passphrase. */
export const WRONG_PASSPHRASE = 2;

const cryptsetup = (passphrase: string | undefined, ...args: readonly string[]): Program => ({
  program: 'cryptsetup',
  args: [...args],
  ...(passphrase === undefined ? {} : { input: passphrase }),
});

/** From standard input all of it is read, whatever is in it. */
const FROM_INPUT = ['--key-file', '-'];

export const luksFormat = (uuid: string, device: string, passphrase: string): Program =>
  cryptsetup(
    passphrase,
    ...['luksFormat', '--batch-mode', '--type', 'luks2', '--uuid', uuid],
    ...['--offset', String(DATA_OFFSET_BYTES / SECTOR_BYTES)],
    ...[...PBKDF, ...FROM_INPUT, device],
  );

/** Whether the header is whole, and opens. */
export const luksTest = (device: string, passphrase: string): Program =>
  cryptsetup(passphrase, 'open', '--test-passphrase', '--type', 'luks', ...FROM_INPUT, device);

export const luksOpen = (device: string, name: string, passphrase: string): Program =>
  cryptsetup(passphrase, 'open', '--type', 'luks', ...FROM_INPUT, device, name);

export const luksResize = (name: string, passphrase: string): Program =>
  cryptsetup(passphrase, 'resize', ...FROM_INPUT, name);

/** `deferred`: it goes when the last who has it open lets go of it. */
export const luksClose = (name: string, how: 'now' | 'deferred'): Program =>
  cryptsetup(undefined, 'close', ...(how === 'deferred' ? ['--deferred'] : []), name);
