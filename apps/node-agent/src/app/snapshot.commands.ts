import { lariatError } from '@lariat/contracts';
import { snapshotLvolName } from '../domain/names.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import type { Exports } from './exports.js';
import { type Lvols, planLvol } from './lvols.js';
import { SnapshotExports } from './snapshot-exports.js';

export interface SnapshotCommandParts {
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly exports: Exports;
}

/** Commands on a replica's snapshots. */
export function snapshotCommands(parts: SnapshotCommandParts): HandlersOf<'snapshot'> {
  const { target, lvols, exports } = parts;
  const snapshotExports = new SnapshotExports(lvols, exports);

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
    // The volume's record keeps what is read from deletion: who reads it now is left over from while this node was away.
    if (await snapshotExports.endReaders({ replica, snapshot })) {
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

  const open: CommandHandlers['snapshot.export'] = async (input, context) => {
    const endpoint = await snapshotExports.admit(input, input.hostNqn, context.operation);
    const snapshot = await lvols.snapshot(input.replica, input.snapshot);
    return { ...endpoint, allocatedBytes: await lvols.allocatedBytes(snapshot) };
  };

  const close: CommandHandlers['snapshot.unexport'] = async (input) => {
    await snapshotExports.dismiss(input, input.hostNqn);
    return {};
  };

  return {
    'snapshot.create': create,
    'snapshot.delete': remove,
    'snapshot.export': open,
    'snapshot.unexport': close,
  };
}
