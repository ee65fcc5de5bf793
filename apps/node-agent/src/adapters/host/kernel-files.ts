import { readdirSync, readFileSync } from 'node:fs';

/** Names in a folder of /proc or /sys; none when what it stands for, a process or a device, has gone. */
export function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** What such a file says; empty when it has gone. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
