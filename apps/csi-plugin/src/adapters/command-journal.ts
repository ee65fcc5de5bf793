import { appendFile, mkdir, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MIB } from '@lariat/kernel';

const MAX_BYTES = 8 * MIB;

/** One JSON line a fact, in order; the file before it is kept as well. */
export class CommandJournal {
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly path: string) {}

  /** Resolves when it is in the file. */
  write(fact: Readonly<Record<string, unknown>>): Promise<void> {
    const line = `${JSON.stringify({ time: new Date().toISOString(), ...fact })}\n`;
    const written = this.last.then(() => this.append(line));
    this.last = written.catch(() => undefined);
    return written;
  }

  private async append(line: string): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true });
    const size = await stat(this.path).then(
      (found) => found.size,
      () => 0,
    );
    if (size > MAX_BYTES) await rename(this.path, `${this.path}.1`);
    await appendFile(this.path, line);
  }
}
