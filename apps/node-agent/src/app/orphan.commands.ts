import { lariatError, type CommandMap, type UnownedKind } from '@lariat/contracts';
import { OWNED_KIND_OF, findUnowned } from '../domain/find-unowned.js';
import { namespaceBdev } from '../domain/names.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import { readTarget } from './target-content.js';
import { isAbsent } from './target-errors.js';

export interface OrphanCommandParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  /** Deletes a replica that is on record here, with all that belongs to it. */
  readonly deleteReplica: CommandHandlers['replica.delete'];
}

type Outcome = CommandMap['orphan.delete']['output'];

/** Takes away what no ownership record names: one thing, known by its uuid, that somebody has looked at and decided on. */
export function orphanCommands(parts: OrphanCommandParts): HandlersOf<'orphan'> {
  const { journal, target, deleteReplica } = parts;

  const remove: CommandHandlers['orphan.delete'] = async (input, context) => {
    const { kind, name, uuid } = input;
    if (kind === 'replica') {
      const owned = journal.ownedBy(name);
      const head = owned.find((thing) => thing.kind === 'lvol' && thing.params.role === 'head');
      if (owned.length === 0) return { outcome: 'absent' };
      if ((head?.uuid ?? null) !== uuid) return { outcome: 'changed' };
      await deleteReplica({ replica: name, volume: input.volume ?? '' }, context);
      return { outcome: 'deleted' };
    }
    if (kind === 'store') {
      throw lariatError(
        'ORPHAN_NOT_DELETABLE',
        `store ${name} may hold volumes: add its disk to the node, which takes it up, or erase the disk`,
      );
    }
    if (journal.owned(OWNED_KIND_OF[kind], name) !== undefined) return { outcome: 'owned' };
    return removeUnowned(kind, name, uuid);
  };

  async function removeUnowned(
    kind: Exclude<UnownedKind, 'store'>,
    name: string,
    uuid: string | null,
  ): Promise<Outcome> {
    const { nvmf, nvme, raid } = target.spdk();
    const ours = findUnowned(
      await readTarget(target),
      (owned, of) => journal.owned(owned, of) !== undefined,
    );
    const seen = ours.find((thing) => thing.kind === kind && thing.name === name);
    if (seen === undefined) return { outcome: 'absent' };
    const seenUuid = kind === 'controller' ? await uuidBroughtBy(name) : seen.uuid;
    if (seenUuid !== uuid) return { outcome: 'changed' };
    if (kind === 'subsystem') await nvmf.deleteSubsystem(name);
    else if (kind === 'controller') await nvme.detachController(name);
    else if (kind === 'raid') await raid.delete(name);
    else await removeLvol(name, uuid ?? '');
    return { outcome: 'deleted' };
  }

  async function removeLvol(alias: string, uuid: string): Promise<void> {
    const clones = await clonesOf(uuid);
    if (clones.length > 0) {
      throw lariatError(
        'ORPHAN_IN_USE',
        `${alias} is beneath ${clones.join(', ')}: delete that first, if nobody needs it`,
      );
    }
    await target.spdk().lvol.delete(uuid);
  }

  /** None for an lvol that shows no bdev: nothing can stand on it then. */
  async function clonesOf(uuid: string): Promise<readonly string[]> {
    try {
      return (await target.spdk().bdev.getBdev(uuid)).lvol?.clones ?? [];
    } catch (reason) {
      if (isAbsent(reason)) return [];
      throw reason;
    }
  }

  async function uuidBroughtBy(controller: string): Promise<string | null> {
    try {
      return (await target.spdk().bdev.getBdev(namespaceBdev(controller))).uuid;
    } catch (reason) {
      if (isAbsent(reason)) return null;
      throw reason;
    }
  }

  return { 'orphan.delete': remove };
}
