import { lariatError, snapshotNqn } from '@lariat/contracts';
import { snapshotLvolName } from '../domain/names.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import { type Lvols, planLvol } from './lvols.js';

export interface SnapshotCommandParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
}

/** Commands on a replica's snapshots. */
export function snapshotCommands(parts: SnapshotCommandParts): HandlersOf<'snapshot'> {
  const { journal, target, lvols } = parts;

  const create: CommandHandlers['snapshot.create'] = async (input, context) => {
    const { replica, volume, snapshot } = input;
    const head = await lvols.head(replica);
    const lvolName = snapshotLvolName(replica, snapshot);
    const made = await lvols.make(
      planLvol(
        { replica, volume, operation: context.operation },
        {
          disk: head.params.disk,
          lvolName,
          role: 'snapshot',
          snapshot,
          sizeBytes: head.params.sizeBytes,
        },
      ),
      () => target.spdk().lvol.snapshot(head.uuid, lvolName),
    );
    return { lvolUuid: made.uuid };
  };

  const remove: CommandHandlers['snapshot.delete'] = async ({ replica, snapshot }) => {
    const record = lvols.recordOf(replica, 'snapshot', snapshot);
    if (record === undefined) return {};
    if (journal.owned('subsystem', snapshotNqn(replica, snapshot)) !== undefined) {
      throw lariatError(
        'SNAPSHOT_IN_USE',
        `snapshot ${snapshot} of replica ${replica} is exported for a rebuild; wait until that has ended`,
      );
    }
    const clones = record.uuid === null ? [] : await lvols.clonesOf(record.uuid);
    if (clones.length > 1) {
      throw lariatError(
        'SNAPSHOT_IN_USE',
        `snapshot ${snapshot} of replica ${replica} has ${clones.length} children (${clones.join(', ')}); delete all but one first`,
      );
    }
    await lvols.remove(record);
    return {};
  };

  return { 'snapshot.create': create, 'snapshot.delete': remove };
}
