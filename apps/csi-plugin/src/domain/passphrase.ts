import { Refusal } from './refusal.js';

type Texts = Readonly<Record<string, string>>;

/** Under which key of its secret a volume's passphrase is. */
export const PASSPHRASE_KEY = 'encryptionPassphrase';
const MAX_BYTES = 512;

/** Undefined: none was sent. */
export function passphraseOf(secrets: Texts): string | undefined {
  const passphrase = secrets[PASSPHRASE_KEY];
  if (passphrase === undefined || passphrase === '') return undefined;
  if (Buffer.byteLength(passphrase) <= MAX_BYTES) return passphrase;
  throw new Refusal(
    'INVALID_ARGUMENT',
    `${PASSPHRASE_KEY} of the secret has more than ${MAX_BYTES} bytes: give a shorter one.`,
  );
}

export function requirePassphrase(secrets: Texts, volume: string): string {
  const passphrase = passphraseOf(secrets);
  if (passphrase !== undefined) return passphrase;
  throw new Refusal(
    'INVALID_ARGUMENT',
    `Volume ${volume} is encrypted, and the secret has no ${PASSPHRASE_KEY}: name a secret that has one in the storage class, for stage and for expand.`,
  );
}
