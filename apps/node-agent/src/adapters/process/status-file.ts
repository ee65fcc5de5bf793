import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../ports/processes.port.js';
import { ownIdentity } from './proc-stat.js';

export interface AgentStatus {
  readonly target: ProcessIdentity | undefined;
  readonly frontends: readonly ({ readonly volume: string } & ProcessIdentity)[];
  /** What could not be taken away before a stop; null: it was not asked for, or is not done. */
  readonly leftBehind: readonly string[] | null;
}

/** `agent.json`: the processes of this node, for whoever supervises or stops it. */
export class StatusFile {
  private readonly path: string;
  private written = '';

  constructor(dataDir: string) {
    this.path = join(dataDir, 'agent.json');
  }

  /** Written aside and renamed, so that a reader never sees half of it; only when it has changed. */
  write(status: AgentStatus): void {
    const { pid, startTime } = ownIdentity();
    const text = JSON.stringify({
      agentPid: pid,
      agentStartTime: startTime,
      targetPid: status.target?.pid ?? null,
      targetStartTime: status.target?.startTime ?? null,
      frontends: status.frontends,
      leftBehind: status.leftBehind,
    });
    if (text === this.written) return;
    const draft = `${this.path}.new`;
    writeFileSync(draft, `${text}\n`);
    renameSync(draft, this.path);
    this.written = text;
  }
}
