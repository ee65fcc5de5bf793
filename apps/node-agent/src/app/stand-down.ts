import { volumeNqn } from '@lariat/contracts';
import { toLariatError, withDeadline, type Clock } from '@lariat/kernel';
import type { OwnedRaid, OwnedSubsystem } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { Engines } from './engines.js';
import type { Frontends } from './frontends.js';
import { isAbsent } from './target-errors.js';

export interface StandDownParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly engines: Pick<Engines, 'see'>;
  readonly frontends: Pick<Frontends, 'stopProcesses'>;
  readonly clock: Clock;
  readonly log: LogPort;
}

/**
 * Before a stop of the whole node: takes away what others use, in the order in which it is used, while the network is still
 * there. Hosts first, then the engines beneath them with their paths, then what other nodes' engines have of this one. The
 * ownership records stay, so that the next start brings all of it back. Nothing depends on it: what is left is cut off by
 * the end of the target, as by a crash.
 */
export class StandDown {
  constructor(private readonly parts: StandDownParts) {}

  /** Ends at the deadline, whatever hangs; answers what could not be taken away. */
  async run(deadlineMs: number): Promise<readonly string[]> {
    const { journal, frontends, clock } = this.parts;
    const untilMs = clock.monotonicMs() + deadlineMs;
    const left: string[] = [];
    const attempt = async (what: string, task: () => Promise<unknown>): Promise<void> => {
      try {
        const leftMs = untilMs - clock.monotonicMs();
        if (leftMs <= 0) throw new Error('there was no time left for it');
        await withDeadline(what, leftMs, task());
      } catch (reason) {
        left.push(what);
        this.parts.log.warn('could not be taken away', {
          what,
          error: toLariatError(reason).message,
        });
      }
    };
    await attempt('frontends', () => frontends.stopProcesses());
    const raids = journal.ownedOfKind('raid');
    await Promise.all(
      raids.map((raid) => attempt(`engine ${raid.name}`, () => this.endEngine(raid))),
    );
    const rest = journal.ownedOfKind('subsystem').filter(({ params }) => params.role !== 'volume');
    await Promise.all(
      rest.map((record) => attempt(`export ${record.name}`, () => this.withdraw(record))),
    );
    return left;
  }

  private async endEngine(record: OwnedRaid): Promise<void> {
    const { journal, target, engines } = this.parts;
    const exported = journal.owned('subsystem', volumeNqn(record.name));
    if (exported !== undefined) await this.withdraw(exported);
    // Confirmed by uuid: what only has its name is not ours.
    if ((await engines.see(record)) !== undefined) await target.spdk().raid.delete(record.name);
    const paths = journal.ownedOfKind('controller').filter(({ owner }) => owner === record.owner);
    for (const { name } of paths) {
      await unlessAbsent(target.spdk().nvme.detachController(name));
    }
  }

  private async withdraw(record: OwnedSubsystem): Promise<void> {
    const { nvmf } = this.parts.target.spdk();
    const seen = (await nvmf.getSubsystems()).find(({ nqn }) => nqn === record.name);
    if (seen === undefined) return;
    const uuid = seen.namespaces[0]?.uuid;
    if (uuid !== undefined && record.uuid !== null && uuid !== record.uuid) return;
    await nvmf.deleteSubsystem(record.name);
  }
}

async function unlessAbsent(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (reason) {
    if (!isAbsent(reason)) throw reason;
  }
}
