import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleOf, notBuilt } from '@lariat/kernel';

/** The file to run another program from; `entry` is where its main module is, from a folder beside this one's `dist`. */
export function programFile(entry: string): string {
  const file = bundleOf(fileURLToPath(new URL(entry, import.meta.url)));
  if (existsSync(file)) return file;
  throw notBuilt(file);
}
