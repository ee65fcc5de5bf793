import { type Cluster, identify, isRunning } from '@lariat/cli';
import { toLariatError } from '@lariat/kernel';
import type { Random } from '../fuzz/support/random.js';

/** Kills and freezes processes of a cluster; one that is on its way back already is left to it. */
export class ProcessFaults {
  private readonly frozen = new Set<number>();

  constructor(
    private readonly cluster: Cluster,
    private readonly random: Random,
  ) {}

  anyNode(): string {
    return this.random.pick(
      this.cluster
        .processes()
        .filter(({ kind }) => kind === 'agent')
        .map(({ name }) => name),
    );
  }

  async kill(name: string): Promise<void> {
    await this.signal(name, 'SIGKILL');
  }

  /** Answers what makes it go on again, and throws when somebody has killed it meanwhile: a process that is slow is no dead one. */
  async freeze(name: string): Promise<() => void> {
    const pid = await this.signal(name, 'SIGSTOP');
    if (pid === undefined) return () => undefined;
    this.frozen.add(pid);
    const identity = identify(pid);
    return () => {
      if (!this.frozen.delete(pid)) return;
      if (!isRunning(identity)) throw new Error(`${name} was killed while it was frozen`);
      process.kill(pid, 'SIGCONT');
    };
  }

  /** All that is frozen goes on. */
  thaw(): void {
    for (const pid of this.frozen) process.kill(pid, 'SIGCONT');
    this.frozen.clear();
  }

  private async signal(name: string, signal: NodeJS.Signals): Promise<number | undefined> {
    return this.cluster.kill(name, signal).catch((error: unknown) => {
      if (toLariatError(error).code === 'PROCESS_NOT_FOUND') return undefined;
      throw error;
    });
  }
}
