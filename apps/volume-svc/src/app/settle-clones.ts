import { type CloneRecord, type VolumeChange, type VolumeRecord, isEnded } from '@lariat/contracts';
import { deriveVolumeId } from '@lariat/kernel';
import { isOperationRunning } from '@lariat/saga';
import { cloneFate } from '../domain/recovery/clone-fate.js';
import type { RecoveryParts } from './recover-volumes.js';

/** What is known of the cluster when all volumes were looked at. */
export interface FoundVolumes {
  /** By id: as the store has it, or would have it after a dry run. */
  readonly records: ReadonlyMap<string, VolumeRecord>;
  readonly silent: readonly string[];
}

/**
 * Ends on the record of a source what the lost operation of a clone would have ended: without that the source can't be
 * deleted. Answers what was done, or would be, for a person.
 */
export async function settleClones(
  parts: Pick<RecoveryParts, 'volumes' | 'client' | 'actor'>,
  source: VolumeRecord,
  { records, silent }: FoundVolumes,
  options: { readonly dryRun: boolean; readonly acceptDataLoss: boolean },
): Promise<{ readonly settled: boolean; readonly notes: readonly string[] }> {
  const { volumes, actor } = parts;
  const notes: string[] = [];
  let settled = false;
  for (const clone of source.clones ?? []) {
    if (clone.state !== 'creating' || (await isBeingMade(parts, clone))) continue;
    if (clone.kind === 'image') {
      // What it had read is of no use to anybody without its import.
      settled = true;
      notes.push(`the import of image '${clone.name}' was cut off: it is forgotten`);
      if (!options.dryRun) {
        const change: VolumeChange = { type: 'drop-clone', volume: clone.volume };
        await volumes.change(source.id, null, [change], actor);
      }
      continue;
    }
    const fate = cloneFate({
      record: records.get(clone.volume),
      wasDeleted: await volumes.deleted.has(clone.volume),
      silent,
      acceptDataLoss: options.acceptDataLoss,
    });
    if (fate === 'unknown') {
      notes.push(
        `whether its clone '${clone.name}' was whole is not known yet (no answer from ${silent.join(', ') || 'whoever makes it'})`,
      );
      continue;
    }
    settled = true;
    notes.push(
      fate === 'ready'
        ? `its clone '${clone.name}' is whole: it is ready`
        : `its clone '${clone.name}' was cut off: it is forgotten`,
    );
    if (options.dryRun) continue;
    const { volume } = clone;
    const change: VolumeChange =
      fate === 'ready' ? { type: 'settle-clone', volume } : { type: 'drop-clone', volume };
    // An operation that was only late may have settled it meanwhile.
    const decide = (now: VolumeRecord): readonly VolumeChange[] =>
      (now.clones ?? []).some((one) => one.volume === volume && one.state === 'creating')
        ? [change]
        : [];
    await volumes.change(source.id, null, decide, actor);
  }
  return { settled, notes };
}

/** Of one that was noted before operations were, the volume's id tells which operation makes it. */
async function isBeingMade(
  { client }: Pick<RecoveryParts, 'client'>,
  { operation, volume }: CloneRecord,
): Promise<boolean> {
  if (operation === undefined) {
    const { operations } = await client.request('operation.list', {});
    return operations.some(({ id, state }) => !isEnded(state) && deriveVolumeId(id) === volume);
  }
  return isOperationRunning(client, operation);
}
