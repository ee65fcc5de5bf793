import { readFileSync } from 'node:fs';

/** Tells this life of the machine's kernel from all others. */
export const readBootId = (): string =>
  readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
