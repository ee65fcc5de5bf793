import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { programFile } from '@lariat/cli';
import { Hopeless, waitUntil } from '../../contract/support/wait-until.js';
import { readByNbd } from './nbd-wire.js';

const NBD_MAIN = programFile('apps', 'node-agent', 'dist', 'nbd', 'main.js');
const READY_MS = 20_000;

export interface NbdExport {
  readonly volume: string;
  readonly hostNqn: string;
  readonly endpoint: {
    readonly nqn: string;
    readonly traddr: string;
    readonly trsvcid: string;
    readonly uuid: string;
  };
}

/** The NBD server of one attachment, started as the agent does. */
export class NbdProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly logPath: string,
    readonly socketPath: string,
  ) {}

  static async start(folder: string, exported: NbdExport): Promise<NbdProcess> {
    const socketPath = join(folder, 'nbd.sock');
    const logPath = join(folder, 'nbd.log');
    const log = await open(logPath, 'a');
    const options = JSON.stringify({ ...exported, discard: true });
    const child = spawn(
      process.execPath,
      [NBD_MAIN, '--socket', socketPath, '--options', options],
      { stdio: ['ignore', log.fd, log.fd] },
    );
    await log.close();
    const server = new NbdProcess(child, logPath, socketPath);
    await waitUntil('the NBD server', READY_MS, async () => {
      if (child.exitCode !== null) throw new Hopeless(await server.log());
      return readByNbd(socketPath, exported.volume, 0, 512);
    });
    return server;
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('the NBD server was never started');
    return this.child.pid;
  }

  log(): Promise<string> {
    return readFile(this.logPath, 'utf8');
  }

  /** Exit code of an orderly stop. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exited;
    return this.child.exitCode;
  }
}
