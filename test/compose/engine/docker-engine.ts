import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Hopeless, waitUntil } from '../../contract/support/wait-until.js';
import { NotToBeHad } from '../../debian/packages.js';
import { run } from '../../debian/programs.js';
import { RecordedFolder } from '../../left-over/record.js';
import { engineCgroup, removeCgroups } from './cgroups.js';
import { ENGINE_INIT } from './engine-init.js';
import type { EngineEnvironment } from './engine-programs.js';

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 20_000;

/**
 * Debian's Docker engine in namespaces of its own (mounts, network, processes): nothing of the machine's is seen or
 * changed, and nothing of it outlives the process that started it.
 */
export class DockerEngine {
  private constructor(
    readonly environment: EngineEnvironment,
    private readonly recorded: RecordedFolder,
    private readonly child: ChildProcess,
  ) {}

  static async start(programs: EngineEnvironment): Promise<DockerEngine> {
    const recorded = RecordedFolder.make('lariat-compose-');
    mkdirSync(join(recorded.path, 'memory'));
    const logFile = openSync(join(recorded.path, 'engine.log'), 'a');
    const child = spawn(
      'setpriv',
      [
        ...['--pdeathsig', 'KILL', 'unshare', '--mount', '--net', '--pid', '--fork'],
        ...['--kill-child', '--mount-proc'],
        ...['sh', '-c', ENGINE_INIT, 'engine', recorded.path, `/${engineCgroup()}`],
      ],
      { env: programs, stdio: ['ignore', logFile, logFile] },
    );
    recorded.note(child.pid);
    const environment = {
      ...programs,
      DOCKER_HOST: `unix://${recorded.path}/docker.sock`,
      // The builder that needs no program beside the engine.
      ...{ DOCKER_BUILDKIT: '0', COMPOSE_DOCKER_CLI_BUILD: '0' },
    };
    const engine = new DockerEngine(environment, recorded, child);
    try {
      await engine.answers();
    } catch (error) {
      const said = engine.log().trim().split('\n').slice(-15);
      await engine.stop();
      process.stderr.write(`the engine said:\n${said.join('\n')}\n`);
      // Of nothing that is ours: what the kernel does not allow, an engine can't have.
      throw new NotToBeHad(`Docker's engine does not start: ${said.at(-1)}`, { cause: error });
    }
    return engine;
  }

  get folder(): string {
    return this.recorded.path;
  }

  log(): string {
    return readFileSync(join(this.folder, 'engine.log'), 'utf8');
  }

  /** The engine's first process, whose namespaces containers are made in. */
  get pid(): number {
    const pid = this.firstProcess();
    if (pid === undefined) throw new Error('the engine does not run');
    return pid;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exited = once(this.child, 'exit');
      const pid = this.firstProcess();
      if (pid === undefined) this.child.kill('SIGKILL');
      else process.kill(pid, 'SIGTERM');
      const timer = setTimeout(() => this.child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    }
    removeCgroups();
    this.recorded.remove();
  }

  private firstProcess(): number | undefined {
    const { pid } = this.child;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return children === '' ? undefined : Number(children.split(' ')[0]);
  }

  private answers(): Promise<true> {
    return waitUntil('the engine to answer', START_TIMEOUT_MS, async () => {
      if (this.child.exitCode !== null) throw new Hopeless('it has ended');
      await run('docker', ['version'], { env: this.environment });
      return true;
    });
  }
}
