import { lariatError } from '@lariat/contracts';
import { delay, toLariatError } from '@lariat/kernel';
import { Spdk, SpdkClient, type CallObserver } from '@lariat/spdk';
import type { JournalPort } from '../../ports/journal.port.js';
import type { ProcessesPort, ProcessIdentity } from '../../ports/processes.port.js';
import type { ListenPort, TargetLife, TargetPort } from '../../ports/target.port.js';
import { probePort } from '../process/tcp-port.js';
import type { TargetLaunch } from './target-launch.js';

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
  readonly methods: ReadonlySet<string>;
  readonly version: string;
  readonly process: ProcessIdentity;
}

const PROCESS_SETTING = 'target-process';
const CONNECT_POLL_MS = 5;
const INIT_TIMEOUT_MS = 60_000;

/** The target process and the one RPC connection to it. */
export class TargetSession implements TargetPort, TargetLife {
  lost: Promise<string> = Promise.resolve('it was never started');
  private session: OpenSession | undefined;

  constructor(private readonly parts: TargetSessionParts) {}

  get version(): string {
    return this.session?.version ?? 'unknown';
  }

  get instance(): string {
    const process = this.session?.process;
    return process === undefined ? '' : `${process.pid}-${process.startTime}`;
  }

  spdk(): Spdk {
    if (this.session !== undefined && this.session.client.isOpen) return this.session.spdk;
    throw lariatError('TARGET_UNAVAILABLE', "this node's target is down; it is being restarted");
  }

  supports(method: string): boolean {
    return this.session?.methods.has(method) ?? false;
  }

  process(): ProcessIdentity | undefined {
    return this.session?.process;
  }

  async open(): Promise<{ readonly adopted: boolean }> {
    this.disconnect();
    const running = this.findRunning();
    const process = running ?? (await this.start());
    await this.parts.journal.putSetting(PROCESS_SETTING, process);
    const client = await this.connect(process);
    const spdk = new Spdk(client);
    await spdk.app.waitInit({ timeoutMs: INIT_TIMEOUT_MS });
    const [{ version }, methods] = await Promise.all([
      spdk.app.getVersion(),
      spdk.app.getMethods(),
    ]);
    this.session = { client, spdk, methods: new Set(methods), version, process };
    this.lost = client.closed.then((reason) => reason?.message ?? 'it was closed');
    return { adopted: running !== undefined };
  }

  async stop(deadlineMs: number): Promise<void> {
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

  /** By the recorded pid and start time; else by our socket's path, which nothing else has as an argument. */
  private findRunning(): ProcessIdentity | undefined {
    const { journal, processes, launch } = this.parts;
    const recorded = readIdentity(journal.setting(PROCESS_SETTING));
    if (recorded !== undefined && processes.isAlive(recorded)) return recorded;
    return processes.findByArgument(launch.socketPath);
  }

  private async start(): Promise<ProcessIdentity> {
    const { launch, listen, processes } = this.parts;
    const port = Number(listen.trsvcid);
    if ((await probePort(listen.traddr, port)) === undefined) {
      throw lariatError(
        'TARGET_UNAVAILABLE',
        `port ${listen.traddr}:${port}, on which this node's volumes are known, is in use by another process; end that process, or start the agent with another --trsvcid`,
      );
    }
    return processes.startDetached(launch.command, launch.args, launch.logPath);
  }

  private async connect(process: ProcessIdentity): Promise<SpdkClient> {
    const { launch, startDeadlineMs, processes, observer } = this.parts;
    const deadline = performance.now() + startDeadlineMs;
    for (;;) {
      try {
        return await SpdkClient.connect({ socketPath: launch.socketPath, observer });
      } catch (reason) {
        if (!processes.isAlive(process)) {
          throw lariatError(
            'TARGET_UNAVAILABLE',
            `the target (pid ${process.pid}) ended before it answered; see ${launch.logPath}`,
          );
        }
        if (performance.now() > deadline) {
          const { message } = toLariatError(reason);
          throw lariatError(
            'TARGET_UNAVAILABLE',
            `the target (pid ${process.pid}) runs and has not answered for ${startDeadlineMs / 1000} s: ${message}; see ${launch.logPath}, and give it longer with --target-start if the machine is slow`,
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
