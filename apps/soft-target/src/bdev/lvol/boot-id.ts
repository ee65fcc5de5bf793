import { readFileSync } from 'node:fs';

/**
 * Differs after each boot of the kernel (random(4)), and with it the page cache that unsynced writes were in. Where there
 * is none, one for ever: that all boots look alike may show old bytes after a power cut, the reverse would lose
 * acknowledged writes to kill -9.
 */
export function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return 'unknown';
  }
}
