import { delay } from '@lariat/kernel';
import { AgentChannel } from './agent-channel.js';

/** Six times what the host would need, and more on a machine that others use. */
const COMMAND_TIMEOUT_MS = 60_000;
const OPEN_TIMEOUT_MS = 10_000;
const FIRST_LOOK_MS = 4;
const LONGEST_PAUSE_MS = 50;

export interface Finished {
  readonly exitCode: number | null;
  /** Of what ended it, in place of an exit code. */
  readonly signal: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly input?: string | Buffer;
  readonly timeoutMs?: number;
}

/** A command that goes on while others are carried out. */
export interface RunningCommand {
  readonly pid: number;
  readonly done: Promise<Finished>;
  hasEnded(): boolean;
  signal(name: string): Promise<void>;
}

interface ExecStatus {
  readonly exited: boolean;
  readonly exitcode?: number;
  readonly signal?: number;
  readonly 'out-data'?: string;
  readonly 'err-data'?: string;
}

/** Carries out commands in a guest: argument arrays, no shell, each with a deadline. */
export class GuestCommands {
  private constructor(private readonly channel: AgentChannel) {}

  static async open(socket: string, timeoutMs: number = OPEN_TIMEOUT_MS): Promise<GuestCommands> {
    return new GuestCommands(await AgentChannel.open(socket, timeoutMs));
  }

  close(): void {
    this.channel.close();
  }

  /** How the command ended, whatever its exit code; rejects when it does not end in time. */
  async exec(
    argv: readonly [string, ...string[]],
    options: CommandOptions = {},
  ): Promise<Finished> {
    return (await this.start(argv, options)).done;
  }

  /** Its output; rejects with what it printed when it failed. */
  async run(argv: readonly [string, ...string[]], options: CommandOptions = {}): Promise<string> {
    const { exitCode, signal, stdout, stderr } = await this.exec(argv, options);
    if (exitCode === 0) return stdout;
    const end = signal === null ? `exit code ${exitCode}` : `signal ${signal}`;
    throw new Error(`${argv.join(' ')} in the guest: ${end}: ${(stderr + stdout).trim()}`);
  }

  async start(
    argv: readonly [string, ...string[]],
    { input, timeoutMs = COMMAND_TIMEOUT_MS }: CommandOptions = {},
  ): Promise<RunningCommand> {
    const [path, ...arg] = argv;
    const answer = await this.channel.request('guest-exec', {
      ...{ path, arg, 'capture-output': true },
      ...(input === undefined ? {} : { 'input-data': Buffer.from(input).toString('base64') }),
    });
    const { pid } = answer as { pid: number };
    const done = this.ended(pid, argv, timeoutMs);
    let hasEnded = false;
    // Who waits for it later still gets the error.
    void done.catch(() => undefined).finally(() => (hasEnded = true));
    return {
      pid,
      done,
      hasEnded: () => hasEnded,
      signal: async (name) => {
        await this.run(['/bin/kill', '-s', name, String(pid)]);
      },
    };
  }

  /** Starts what goes on by itself, its output in a file of the guest; answers its pid. */
  async detach(argv: readonly [string, ...string[]], logPath: string): Promise<number> {
    const script = 'setsid "$@" >>"$0" 2>&1 </dev/null & echo $!';
    return Number(await this.run(['sh', '-c', script, logPath, ...argv]));
  }

  async write(path: string, content: string): Promise<void> {
    await this.run(['/usr/bin/tee', path], { input: content });
  }

  private async ended(pid: number, argv: readonly string[], timeoutMs: number): Promise<Finished> {
    const deadline = performance.now() + timeoutMs;
    for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS)) {
      const status = (await this.channel.request('guest-exec-status', { pid })) as ExecStatus;
      if (status.exited) return finished(status);
      if (performance.now() > deadline) {
        await this.run(['/bin/kill', '-s', 'KILL', String(pid)]).catch(() => undefined);
        throw new Error(`${argv.join(' ')} in the guest did not end within ${timeoutMs} ms`);
      }
      await delay(pauseMs);
    }
  }
}

const finished = (status: ExecStatus): Finished => ({
  exitCode: status.exitcode ?? null,
  signal: status.signal ?? null,
  stdout: decoded(status['out-data']),
  stderr: decoded(status['err-data']),
});

const decoded = (data: string | undefined): string =>
  Buffer.from(data ?? '', 'base64').toString('utf8');
