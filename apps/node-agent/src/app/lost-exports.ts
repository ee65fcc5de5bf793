import { ReplicaMode } from '@lariat/contracts';
import type { KeyedQueue, ReconcileCounts } from '@lariat/kernel';
import type { OwnedSubsystem } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { Exports } from './exports.js';
import { RepairLanes } from './repair-lanes.js';

export interface LostExportsParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly exports: Pick<Exports, 'withdraw' | 'putBack'>;
  /** Why the lvol of this uuid can't be kept; undefined: nothing says so. */
  readonly lost: (uuid: string | null) => string | undefined;
  readonly queue: KeyedQueue;
  readonly counts: ReconcileCounts;
  readonly log: LogPort;
}

/**
 * Takes replicas on a lost disk from engines elsewhere. A target that has the disk's file open still takes what they write,
 * and it is gone when that is closed; an engine that loses the path has it put on record, and goes on without. The last
 * replica in sync stays: what is only there is only there.
 */
export class LostExports {
  private readonly lanes: RepairLanes;

  constructor(private readonly parts: LostExportsParts) {
    this.lanes = new RepairLanes(parts.queue, parts.log);
  }

  /** One round; what is not on a lost disk any more is put back by the watch of all exports. */
  async look(): Promise<void> {
    const { journal, target, lost } = this.parts;
    const affected = journal
      .ownedOfKind('subsystem')
      .filter(({ uuid, params }) => params.role === 'replica' && lost(uuid) !== undefined);
    if (affected.length === 0) return;
    const seen = await target.spdk().nvmf.getSubsystems();
    const there = new Set(seen.map(({ nqn }) => nqn));
    for (const record of affected)
      if (this.isMissed(record) !== there.has(record.name)) this.settle(record);
  }

  /** Looked at again in the lane of the replica's commands. */
  private settle({ name, owner }: OwnedSubsystem): void {
    const { journal, exports, lost, counts, log } = this.parts;
    this.lanes.run(`replica/${owner}`, `export ${name}`, async () => {
      const record = journal.owned('subsystem', name);
      const reason = record === undefined ? undefined : lost(record.uuid);
      if (record === undefined || reason === undefined) return;
      if (this.isMissed(record)) {
        await exports.putBack(name, () => counts.repaired('exports'));
        return;
      }
      counts.repaired('disks');
      await exports.withdraw(name);
      log.warn('a replica was taken from its engine', { replica: owner, reason });
    });
  }

  /** Whether nothing else, as far as this node has heard, has what the replica has. */
  private isMissed({ owner, volume }: OwnedSubsystem): boolean {
    const kept = volume === null ? undefined : this.parts.journal.record('volume', volume);
    return !(kept?.replicas ?? []).some(({ id, mode }) => id !== owner && mode === ReplicaMode.rw);
  }
}
