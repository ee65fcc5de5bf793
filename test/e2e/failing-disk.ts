import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { until } from './e2e-cluster.js';

const run = promisify(execFile);

/** Why there can be no device here that answers with errors; undefined when there can. */
export function whyNoFailingDisk(): string | undefined {
  const missing = ['nbdkit', 'nbdfuse'].filter((name) => !existsSync(join('/usr/bin', name)));
  return missing.length === 0 ? undefined : `${missing.join(', ')} not installed`;
}

/** A loop device on a file of the name that is asked for, which does not keep what a volume would. */
export class FailingDisk {
  private constructor(
    readonly path: string,
    private readonly servers: readonly ChildProcess[],
    private readonly fuseFolder: string | undefined,
  ) {}

  /** Every read gives zeros. */
  static async ofZeros(file: string, sizeBytes: number): Promise<FailingDisk> {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, '');
    truncateSync(file, sizeBytes);
    return new FailingDisk(await loopOn(file), [], undefined);
  }

  /** Every read and every write fails. The file must be called nbd. */
  static async ofErrors(file: string, sizeBytes: number): Promise<FailingDisk> {
    const folder = dirname(file);
    mkdirSync(folder, { recursive: true });
    const socket = join(folder, '..', 'errors.sock');
    const nbdkit = spawn(
      'nbdkit',
      [
        '-f',
        '-U',
        socket,
        '--filter=error',
        'memory',
        String(sizeBytes),
        'error=EIO',
        'error-rate=1',
      ],
      { stdio: 'ignore' },
    );
    await until('nbdkit', 10_000, async () => (existsSync(socket) ? true : undefined));
    const nbdfuse = spawn('nbdfuse', [folder, `nbd+unix:///?socket=${socket}`], {
      stdio: 'ignore',
    });
    await until('nbdfuse', 10_000, async () => (existsSync(file) ? true : undefined));
    return new FailingDisk(await loopOn(file), [nbdkit, nbdfuse], folder);
  }

  async close(): Promise<void> {
    await run('losetup', ['--detach', this.path]);
    if (this.fuseFolder !== undefined) await run('umount', ['-l', this.fuseFolder]);
    for (const server of this.servers) {
      if (server.exitCode !== null || server.signalCode !== null) continue;
      const exited = once(server, 'exit');
      server.kill('SIGKILL');
      await exited;
    }
  }
}

async function loopOn(file: string): Promise<string> {
  const { stdout } = await run('losetup', ['--find', '--show', file]);
  return stdout.trim();
}
