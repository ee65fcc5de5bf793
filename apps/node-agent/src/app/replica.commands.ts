import { hasCode, lariatError, replicaNqn, scratchNqn } from '@lariat/contracts';
import { roundUpToCluster } from '@lariat/kernel';
import { type LvolInfo, sizeInMib } from '@lariat/spdk';
import { headLvolName, lvolAlias } from '../domain/names.js';
import type { OwnedLvol } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { Checksums } from './checksums.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import type { Controllers } from './controllers.js';
import type { Exports } from './exports.js';
import type { ImageCopies } from './image-copies.js';
import { dropUnneededRecord, requireNoNewerRecord } from './kept-records.js';
import { type Lvols, type MadeLvol, planLvol } from './lvols.js';

export interface ReplicaCommandParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly exports: Exports;
  readonly controllers: Controllers;
  readonly checksums: Checksums;
  readonly images: ImageCopies;
}

/** The volume whose engine on this node has the replica as its local leg. */
export function engineUsing(journal: JournalPort, replica: string): string | undefined {
  return journal
    .ownedOfKind('raid')
    .find((raid) =>
      raid.params.legs.some((leg) => leg.replica === replica && leg.endpoint === null),
    )?.name;
}

export function requireDisk(journal: JournalPort, disk: string): void {
  const record = journal.owned('disk', disk);
  if (record !== undefined && record.uuid !== null) return;
  throw lariatError('DISK_NOT_FOUND', `disk ${disk} is not on this node`);
}

/** What an lvol of a replica is, by its name. */
function partOf(
  replica: string,
  { name, isSnapshot }: Pick<LvolInfo, 'name' | 'isSnapshot'>,
): Pick<OwnedLvol['params'], 'role' | 'snapshot'> {
  if (name === headLvolName(replica)) return { role: 'head', snapshot: null };
  if (!isSnapshot) return { role: 'scratch', snapshot: null };
  return { role: 'snapshot', snapshot: name.slice(replica.length + 1) };
}

/** Commands on a replica's head and on the replica as a whole. */
export function replicaCommands(parts: ReplicaCommandParts): HandlersOf<'replica'> {
  const { journal, target, lvols, exports, controllers, checksums, images } = parts;

  function requireUnused(replica: string): void {
    const user = engineUsing(journal, replica);
    if (user === undefined) return;
    throw lariatError(
      'VOLUME_BUSY',
      `replica ${replica} is a leg of the engine of volume ${user} on this node; stop the engine or remove the leg first`,
    );
  }

  function requireUnexported(replica: string): void {
    if (journal.owned('subsystem', replicaNqn(replica)) === undefined) return;
    throw lariatError('VOLUME_BUSY', `replica ${replica} is exported; unexport it first`);
  }

  const create: CommandHandlers['replica.create'] = async (input, context) => {
    const { replica, volume, disk, image = null } = input;
    requireDisk(journal, disk);
    const sizeBytes = roundUpToCluster(input.sizeBytes);
    const lvolName = headLvolName(replica);
    const plan = planLvol(
      { replica, volume, operation: context.operation },
      { disk, lvolName, role: 'head', sizeBytes },
    );
    const made =
      image === null ? await lvols.makeEmpty(plan) : await images.clone({ image, disk }, plan);
    return { lvolUuid: made.uuid };
  };

  const clone: CommandHandlers['replica.clone'] = async (input, context) => {
    const { replica, volume, disk, source } = input;
    requireDisk(journal, disk);
    const from = await lvols.snapshot(source.replica, source.snapshot);
    if (from.params.disk !== disk) {
      throw lariatError(
        'REPLICA_NOT_FOUND',
        `snapshot ${source.snapshot} of replica ${source.replica} is on disk ${from.params.disk}, not on ${disk}`,
      );
    }
    const lvolName = headLvolName(replica);
    const made = await lvols.make(
      planLvol(
        { replica, volume, operation: context.operation },
        { disk, lvolName, role: 'head', sizeBytes: from.params.sizeBytes },
      ),
      () => target.spdk().lvol.clone(from.uuid, lvolName),
    );
    const head = await lvols.grow(made, roundUpToCluster(input.sizeBytes));
    return { lvolUuid: head.uuid };
  };

  const adoptScratch: CommandHandlers['replica.adopt-scratch'] = async (input) => {
    const { replica } = input;
    const record = lvols.recordOf(replica, 'scratch');
    if (record !== undefined) {
      await exports.remove(scratchNqn(replica));
      const lvolName = headLvolName(replica);
      const head: OwnedLvol = {
        ...record,
        name: lvolAlias(record.params.disk, lvolName),
        params: { ...record.params, lvolName, role: 'head' },
      };
      // Both names are on record while it changes its name, and either may be the one that it has.
      await journal.putOwned(head);
      await lvols.rename(record, lvolName);
      await journal.dropOwned('lvol', record.name);
    }
    const head = await lvols.grow(await lvols.head(replica), roundUpToCluster(input.sizeBytes));
    if ((head.params.writeMibPerSecond ?? 0) > 0) await lvols.limitWrites(head, 0);
    return { lvolUuid: head.uuid };
  };

  const adopt: CommandHandlers['replica.adopt'] = async (input, context) => {
    const { replica, disk } = input;
    requireDisk(journal, disk);
    const present = await target.spdk().lvol.getLvols({ lvsName: disk });
    const head = present.find(({ name }) => name === headLvolName(replica));
    // One whose parent is elsewhere was being rebuilt: what it lacks nobody knows here any more.
    if (head === undefined || head.isEsnapClone) {
      throw lariatError(
        'REPLICA_NOT_FOUND',
        `replica ${replica} has no whole head on disk ${disk}`,
      );
    }
    const others = present.filter(({ name }) => name.startsWith(`${replica}.`));
    // The head last: while it is on no record, all of it is taken up again.
    for (const lvol of [...others, head]) {
      if (journal.owned('lvol', lvol.alias) !== undefined) continue;
      const { sizeBytes } = await target.spdk().bdev.getBdev(lvol.uuid);
      const part = partOf(replica, lvol);
      await journal.putOwned({
        ...planLvol(
          { replica, volume: input.volume, operation: context.operation },
          { disk, lvolName: lvol.name, sizeBytes, ...part },
        ),
        ...{ kind: 'lvol', name: lvol.alias, uuid: lvol.uuid },
      });
    }
    return { lvolUuid: head.uuid };
  };

  const remove: CommandHandlers['replica.delete'] = async ({ replica, volume, record }) => {
    requireNoNewerRecord(journal, 'volume', volume, record);
    requireUnused(replica);
    // The whole deletion set comes from the records of this owner (invariant 1).
    const things = journal.ownedBy(replica);
    for (const thing of things) {
      if (thing.kind === 'subsystem') await exports.remove(thing.name);
    }
    await lvols.removeAll(things.filter((thing): thing is OwnedLvol => thing.kind === 'lvol'));
    // After the head: its external parent comes through one of them.
    for (const thing of things) {
      if (thing.kind === 'controller') await controllers.remove(thing.name);
    }
    await dropUnneededRecord(journal, 'volume', volume);
    return {};
  };

  const exportHead: CommandHandlers['replica.export'] = async (input, context) => {
    const { replica, volume, epoch, hostNqns } = input;
    requireUnused(replica);
    const head = await lvols.head(replica);
    return exports.ensure({
      name: replicaNqn(replica),
      uuid: head.uuid,
      owner: replica,
      volume,
      operation: context.operation,
      epoch,
      params: { role: 'replica', bdevName: head.uuid, hosts: hostNqns },
    });
  };

  const unexport: CommandHandlers['replica.unexport'] = async ({ replica }) => {
    await exports.remove(replicaNqn(replica));
    return {};
  };

  const resize: CommandHandlers['replica.resize'] = async (input, context) => {
    const { replica } = input;
    if (input.undo === true) return shrinkBack(replica, context.operation);
    const head = await lvols.head(replica);
    const sizeBytes = roundUpToCluster(input.sizeBytes);
    const { sizeBytes: fromBytes, grown } = head.params;
    if (sizeBytes < fromBytes) {
      throw lariatError(
        'VOLUME_SHRINK',
        `replica ${replica} has ${fromBytes} bytes and cannot shrink to ${sizeBytes}`,
      );
    }
    const isOurs = grown?.operation === context.operation;
    const before = isOurs ? grown : { operation: context.operation, fromBytes };
    const growing = { ...head, params: { ...head.params, grown: before } };
    // Before the effect: after a crash between the two the growth can be taken back.
    await journal.putOwned(growing);
    await target.spdk().lvol.resize(head.uuid, sizeInMib(sizeBytes));
    await journal.putOwned({ ...growing, params: { ...growing.params, sizeBytes } });
    return {};
  };

  async function shrinkBack(replica: string, operation: string): Promise<Record<string, never>> {
    const record = lvols.recordOf(replica, 'head');
    // Not grown by this operation, or grown again by a later one: what is there now is somebody's volume.
    if (record?.params.grown?.operation !== operation) return {};
    requireUnused(replica);
    requireUnexported(replica);
    const { grown, ...params } = record.params;
    const head = await lvols.head(replica).catch((reason: unknown) => {
      // The growth failed since the replica is gone; there is nothing to take back then.
      if (hasCode(reason, 'REPLICA_NOT_FOUND')) return undefined;
      throw reason;
    });
    if (head === undefined) return {};
    await target.spdk().lvol.resize(head.uuid, sizeInMib(grown.fromBytes));
    await journal.putOwned({ ...head, params: { ...params, sizeBytes: grown.fromBytes } });
    return {};
  }

  const revert: CommandHandlers['replica.revert'] = async (input, context) => {
    const { replica, snapshot } = input;
    requireUnused(replica);
    requireUnexported(replica);
    const parent = await lvols.snapshot(replica, snapshot);
    const found = lvols.recordOf(replica, 'head');
    if (found === undefined || found.uuid === null) {
      throw lariatError('REPLICA_NOT_FOUND', `replica ${replica} is not on this node`);
    }
    const { operation } = context;
    const isOurs = found.params.revertTo !== null && found.operation === operation;
    const record = isOurs ? found : await withSeenUuid(found);
    // From here on the record says that the lvol with the old uuid is to go, and any other is what this operation made.
    const going = { ...record, operation, params: { ...record.params, revertTo: snapshot } };
    if (!isOurs) await journal.putOwned(going);
    const head = await replaceHead(going, parent);
    const sizeBytes = Math.max(roundUpToCluster(input.sizeBytes), parent.params.sizeBytes);
    await target.spdk().lvol.resize(head.uuid, sizeInMib(sizeBytes));
    const { grown: _past, ...params } = head.params;
    await journal.putOwned({
      ...head,
      params: { ...params, sizeBytes, revertTo: null },
    });
    return { lvolUuid: head.uuid };
  };

  /** What a revert that was given up has left, perhaps a head that stands on another snapshot, is to go like any other. */
  async function withSeenUuid(record: OwnedLvol): Promise<OwnedLvol> {
    if (record.params.revertTo === null) return record;
    const present = await target.spdk().lvol.getLvols({ lvsName: record.params.disk });
    const seen = present.find(({ alias }) => alias === record.name);
    return seen === undefined ? record : { ...record, uuid: seen.uuid };
  }

  async function replaceHead(record: OwnedLvol, parent: MadeLvol): Promise<MadeLvol> {
    const { lvol } = target.spdk();
    const present = await lvol.getLvols({ lvsName: record.params.disk });
    const seen = present.find((candidate) => candidate.alias === record.name);
    if (seen !== undefined && seen.uuid !== record.uuid) return { ...record, uuid: seen.uuid };
    if (seen !== undefined) await lvol.delete(seen.uuid);
    const uuid = await lvol.clone(parent.uuid, record.params.lvolName);
    return { ...record, uuid };
  }

  const checksum: CommandHandlers['replica.checksum'] = async (input, context) => {
    const { replica, volume, snapshot } = input;
    if (snapshot === null) {
      requireUnused(replica);
      requireUnexported(replica);
    }
    const lvol =
      snapshot === null ? await lvols.head(replica) : await lvols.snapshot(replica, snapshot);
    return checksums.sha256({
      lvol,
      replica,
      volume,
      snapshot,
      operation: context.operation,
      progress: context.progress,
    });
  };

  return {
    'replica.create': create,
    'replica.clone': clone,
    'replica.adopt-scratch': adoptScratch,
    'replica.adopt': adopt,
    'replica.delete': remove,
    'replica.export': exportHead,
    'replica.unexport': unexport,
    'replica.resize': resize,
    'replica.revert': revert,
    'replica.checksum': checksum,
  };
}
