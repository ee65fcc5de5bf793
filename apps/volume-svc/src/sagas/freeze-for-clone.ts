import {
  type CloneRecord,
  type SnapshotRecord,
  type VolumeChange,
  type VolumeRecord,
  hasCode,
} from '@lariat/contracts';
import { deriveSnapshotId } from '@lariat/kernel';
import type { StepContext } from '@lariat/saga';
import { assertCanClone, findSnapshot } from '../domain/preconditions.js';
import { dropFrozen, freezeVolume } from './freeze-volume.js';
import type { SagaDeps } from './saga-deps.js';

/** What is to be made of which volume, and of which snapshot; null: of what the volume holds now. Ids. */
export interface WantedClone {
  readonly volume: string;
  readonly snapshot: string | null;
  readonly clone: Omit<CloneRecord, 'snapshot' | 'state'>;
}

type Context = StepContext<unknown, unknown>;

/**
 * Notes the clone with the snapshot that it is made of, which is taken where none is named; the volume is held only
 * meanwhile. What is noted keeps the snapshot, and the volume, from deletion.
 */
export async function freezeForClone(
  deps: SagaDeps,
  context: Context,
  wanted: WantedClone,
): Promise<SnapshotRecord> {
  const { volumes } = deps;
  const { operation, actor } = context;
  const { volume, snapshot } = wanted;
  const before = (await volumes.findFresh(volume)).value;
  const done = clonedSnapshot(before, wanted.clone.volume);
  // Noted by an earlier run whose own journal entry was lost.
  if (done !== undefined) return done;
  const record = await volumes.change(
    volume,
    operation,
    (current) => {
      assertCanClone(current, operation, snapshot);
      return [{ type: 'claim', operation }];
    },
    actor,
  );
  const hidden = deriveSnapshotId(operation);
  if (snapshot === null) await freezeVolume(deps, context, record, hidden);
  const noted = await volumes.change(
    volume,
    operation,
    (current) => note(deps, current, context, wanted),
    actor,
  );
  return findSnapshot(noted, snapshot ?? hidden);
}

/** Takes it back, wherever it was. */
export async function unfreezeForClone(
  { volumes }: SagaDeps,
  context: Context,
  { volume, snapshot, clone }: WantedClone,
): Promise<void> {
  const { operation, actor } = context;
  try {
    const record = (await volumes.findFresh(volume)).value;
    const isHeld = record.operation === operation;
    if (isHeld && snapshot === null) await dropFrozen(context, record, deriveSnapshotId(operation));
    // A hidden snapshot that was noted goes when no clone stands on it any more: see sweep-clone-snapshots.
    await volumes.change(
      volume,
      operation,
      [
        { type: 'drop-clone', volume: clone.volume },
        ...(isHeld ? [{ type: 'release' as const, operation }] : []),
      ],
      actor,
    );
  } catch (error) {
    if (!hasCode(error, 'VOLUME_NOT_FOUND')) throw error;
  }
}

function clonedSnapshot(source: VolumeRecord, clone: string): SnapshotRecord | undefined {
  const noted = source.clones?.find(({ volume }) => volume === clone);
  return noted === undefined ? undefined : findSnapshot(source, noted.snapshot);
}

/** The snapshot, the clone that stands on it, and the end of the hold: in one write. */
function note(
  deps: SagaDeps,
  source: VolumeRecord,
  { operation }: Context,
  { snapshot, clone }: WantedClone,
): readonly VolumeChange[] {
  const hidden = deriveSnapshotId(operation);
  const taken: VolumeChange = {
    type: 'add-snapshot',
    snapshot: {
      id: hidden,
      name: hidden,
      sizeBytes: source.sizeBytes,
      createdAt: new Date(deps.clock.nowMs()).toISOString(),
      parent: source.headParent,
      user: false,
      madeFor: 'clone',
    },
  };
  return [
    ...(snapshot === null ? [taken] : []),
    { type: 'put-clone', clone: { ...clone, snapshot: snapshot ?? hidden, state: 'creating' } },
    { type: 'release', operation },
  ];
}
