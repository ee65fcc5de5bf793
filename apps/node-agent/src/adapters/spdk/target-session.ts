import { lariatError } from '@lariat/contracts';
import { delay, newInstanceId, toLariatError } from '@lariat/kernel';
import { Spdk, SpdkClient, type CallObserver } from '@lariat/spdk';
import type { JournalPort } from '../../ports/journal.port.js';
import type { ProcessesPort, ProcessIdentity } from '../../ports/processes.port.js';
import type { ListenPort, TargetLife, TargetPort } from '../../ports/target.port.js';
import { probePort } from '../process/tcp-port.js';
import type { OwnLaunch, TargetLaunch } from './target-launch.js';

export interface TargetSessionParts {
  readonly launch: TargetLaunch;
  /** From its start to its first answer. */
  readonly startDeadlineMs: number;
  readonly listen: ListenPort;
  readonly processes: ProcessesPort;
  readonly journal: JournalPort;
  readonly observer: CallObserver;
}

interface OpenSession {
  readonly client: SpdkClient;
  readonly spdk: Spdk;
  /** Undefined: it is not ours. */
  readonly process: ProcessIdentity | undefined;
  readonly instance: string;
}

const PROCESS_SETTING = 'target-process';
const CONNECT_POLL_MS = 5;
const INIT_TIMEOUT_MS = 60_000;
const VERSION_DEADLINE_MS = 20_000;

interface Running {
  readonly process: ProcessIdentity | undefined;
  readonly adopted: boolean;
}

/** The target process, where it is ours, and the one RPC connection to it. */
export class TargetSession implements TargetPort, TargetLife {
  lost: Promise<string> = Promise.resolve('it was never started');
  /** Of the target that answered last: one that is away comes back as that more often than not. */
  version = 'unknown';
  /** Of that one too. */
  private methods: ReadonlySet<string> = new Set();
  private session: OpenSession | undefined;

  constructor(private readonly parts: TargetSessionParts) {}

  get isOurs(): boolean {
    return this.parts.launch.own !== undefined;
  }

  get instance(): string {
    return this.session?.instance ?? '';
  }

  spdk(): Spdk {
    if (this.session !== undefined && this.session.client.isOpen) return this.session.spdk;
    throw lariatError(
      'TARGET_UNAVAILABLE',
      this.isOurs
        ? "this node's target is down; it is being restarted"
        : `this node's target does not answer on ${this.parts.launch.socketPath}; start it there`,
    );
  }

  supports(method: string): boolean {
    return this.methods.has(method);
  }

  process(): ProcessIdentity | undefined {
    return this.session?.process;
  }

  async open(): Promise<{ readonly adopted: boolean }> {
    this.disconnect();
    const { own } = this.parts.launch;
    const { process, adopted } =
      own === undefined ? { process: undefined, adopted: true } : await this.run(own);
    const client =
      own === undefined || process === undefined
        ? await this.reach()
        : await this.connect(own, process);
    const spdk = new Spdk(client);
    await spdk.app.waitInit({ timeoutMs: INIT_TIMEOUT_MS });
    const [{ version }, methods] = await Promise.all([
      spdk.app.getVersion(),
      spdk.app.getMethods(),
    ]);
    // Whether one of others was started anew between two connections nobody tells: it may have been.
    const instance =
      process === undefined ? newInstanceId() : `${process.pid}-${process.startTime}`;
    this.version = version;
    this.methods = new Set(methods);
    this.session = { client, spdk, process, instance };
    this.lost = client.closed.then((reason) => reason?.message ?? 'it was closed');
    return { adopted };
  }

  async versionOfBinary(): Promise<string> {
    const { launch, processes } = this.parts;
    if (launch.own === undefined) return this.version;
    const { command, versionArgs } = launch.own;
    return processes.run(command, versionArgs, VERSION_DEADLINE_MS);
  }

  async stop(deadlineMs: number): Promise<void> {
    if (!this.isOurs) return;
    const process = this.session?.process ?? this.findRunning();
    if (process === undefined) return;
    const asked = this.session?.spdk.app.killInstance('SIGTERM');
    // The signal may be faster than the answer; what counts is whether the process ends.
    await asked?.catch(() => undefined);
    const deadline = performance.now() + deadlineMs;
    while (this.parts.processes.isAlive(process) && performance.now() < deadline) await delay(5);
    await this.parts.processes.stop(process, 0);
  }

  disconnect(): void {
    this.session?.client.close();
    this.session = undefined;
  }

  private async run(own: OwnLaunch): Promise<Running> {
    const running = this.findRunning();
    const process = running ?? (await this.start(own));
    await this.parts.journal.putSetting(PROCESS_SETTING, process);
    return { process, adopted: running !== undefined };
  }

  /** By the recorded pid and start time; else by our socket's path, which nothing else has as an argument. */
  private findRunning(): ProcessIdentity | undefined {
    const { journal, processes, launch } = this.parts;
    const recorded = readIdentity(journal.setting(PROCESS_SETTING));
    if (recorded !== undefined && processes.isAlive(recorded)) return recorded;
    return processes.findByArgument(launch.socketPath);
  }

  private async start(own: OwnLaunch): Promise<ProcessIdentity> {
    const { listen, processes } = this.parts;
    const port = Number(listen.trsvcid);
    if ((await probePort(listen.traddr, port)) === undefined) {
      throw lariatError(
        'TARGET_UNAVAILABLE',
        `port ${listen.traddr}:${port}, on which this node's volumes are known, is in use by another process; end that process, or start the agent with another --trsvcid`,
      );
    }
    return processes.startDetached(own.command, own.args, own.logPath);
  }

  /** Tried once: whoever waits for it asks again, with a pause between. */
  private async reach(): Promise<SpdkClient> {
    const { launch, observer } = this.parts;
    const { socketPath } = launch;
    try {
      return await SpdkClient.connect({ socketPath, observer });
    } catch (cause) {
      throw lariatError(
        'TARGET_UNAVAILABLE',
        `no target answers on ${socketPath} (${toLariatError(cause).message}); start it there: this agent does not`,
        { socketPath },
        cause,
      );
    }
  }

  private async connect(own: OwnLaunch, process: ProcessIdentity): Promise<SpdkClient> {
    const { launch, startDeadlineMs, processes, observer } = this.parts;
    const deadline = performance.now() + startDeadlineMs;
    for (;;) {
      try {
        return await SpdkClient.connect({ socketPath: launch.socketPath, observer });
      } catch (reason) {
        if (!processes.isAlive(process)) {
          throw lariatError(
            'TARGET_UNAVAILABLE',
            `the target (pid ${process.pid}) ended before it answered; see ${own.logPath}`,
          );
        }
        if (performance.now() > deadline) {
          const { message } = toLariatError(reason);
          throw lariatError(
            'TARGET_UNAVAILABLE',
            `the target (pid ${process.pid}) runs and has not answered for ${startDeadlineMs / 1000} s: ${message}; see ${own.logPath}, and give it longer with --target-start if the machine is slow`,
          );
        }
        await delay(CONNECT_POLL_MS);
      }
    }
  }
}

function readIdentity(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { pid, startTime } = value as { pid?: unknown; startTime?: unknown };
  return typeof pid === 'number' && typeof startTime === 'number' ? { pid, startTime } : undefined;
}
