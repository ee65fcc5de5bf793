import {
  type ImageCopyRecord,
  type ImageEvidence,
  type ImageRecord,
  comparePositions,
  positionOf,
  positionRecovered,
} from '@lariat/contracts';

/** What is to become of one image. */
export type ImagePlan =
  /** The store has it, as new as any node. */
  | { readonly kind: 'on-record'; readonly record: ImageRecord }
  /** What nodes still have of it goes by itself. */
  | { readonly kind: 'deleted' }
  /** Left as it is. */
  | {
      readonly kind: 'left' | 'in-doubt';
      readonly record: ImageRecord | null;
      readonly notes: readonly string[];
    }
  | { readonly kind: 'put-back'; readonly record: ImageRecord; readonly notes: readonly string[] };

export interface KnownOfImage {
  readonly stored: ImageRecord | undefined;
  readonly wasDeleted: boolean;
  /** Nodes that have told what they have. */
  readonly answered: ReadonlySet<string>;
}

/**
 * Decides on one image by what the nodes tell. Its content never changes once it is ready, so an old record is as good as
 * the newest but for one thing: the image may have been deleted since. A deletion is kept beside the copies before the
 * first one goes, and takes the copies of all nodes that answer; a copy is kept on record by the nodes that it is fetched
 * from before it is made. So an image whose listed copies are all there was not deleted, nor was one that a volume names;
 * of any other nobody can tell, and it is in doubt (docs/adr/0016). Pure.
 */
export function planImage(
  evidence: ImageEvidence,
  { stored, wasDeleted, answered }: KnownOfImage,
): ImagePlan {
  const { record: kept, usedBy, isAccepted } = evidence;
  if (stored === undefined && wasDeleted) return { kind: 'deleted' };
  if (stored !== undefined && (kept === null || isAsNew(stored, kept)))
    return { kind: 'on-record', record: stored };
  if (kept === null) return { kind: 'left', record: null, notes: [noRecordOf(evidence)] };
  if (stored !== undefined && stored.operation !== null) {
    const notes = [
      `the store is older than what a node keeps, and operation ${stored.operation} works on it: run 'lariat recover' again when that has ended`,
    ];
    return { kind: 'left', record: stored, notes };
  }
  const { copies, missing, notes } = settleCopies(evidence, kept, answered);
  if (copies.length === 0) {
    const gone = 'its content is gone: no node has a copy of it any more';
    return { kind: 'left', record: kept, notes: [...notes, gone] };
  }
  const isBegun = kept.state === 'deleting';
  if (missing.length > 0 && !isBegun && usedBy.length === 0 && !isAccepted) {
    const why =
      'it may have been deleted since: bring those copies back, or put it back as it is with --accept-data-loss, and delete it then if that was meant';
    return { kind: 'in-doubt', record: kept, notes: [...missing, why] };
  }
  const isDeleting = isBegun && usedBy.length === 0;
  return {
    kind: 'put-back',
    record: {
      ...kept,
      ...positionRecovered(kept),
      state: isDeleting ? 'deleting' : 'ready',
      operation: null,
      copies,
    },
    notes: [...missing, ...notes, ...(isBegun ? [deletionNote(kept, usedBy)] : [])],
  };
}

const isAsNew = (stored: ImageRecord, kept: ImageRecord): boolean =>
  comparePositions(positionOf(stored), positionOf(kept)) >= 0;

function noRecordOf({ copies }: ImageEvidence): string {
  const places = copies.map(({ node, disk, state }) => {
    return `${state === 'sealed' ? 'a copy' : 'a draft'} on disk ${disk} of node '${node}'`;
  });
  return `no node keeps its record: it was being imported or copied, or it is of before records were kept; there is ${places.join(', ')}`;
}

const deletionNote = ({ name }: ImageRecord, usedBy: readonly string[]): string =>
  usedBy.length === 0
    ? `its deletion had begun: 'lariat image delete ${name}' ends it`
    : `its deletion had begun, and volumes (${usedBy.join(', ')}) use it: it stays`;

interface SettledCopies {
  readonly copies: readonly ImageCopyRecord[];
  /** Why copies that the record has are not there to be seen. */
  readonly missing: readonly string[];
  readonly notes: readonly string[];
}

/** The copies as the nodes tell of them; of a node that does not answer, as they were on record (invariant 2). */
function settleCopies(
  { copies: found }: ImageEvidence,
  kept: ImageRecord,
  answered: ReadonlySet<string>,
): SettledCopies {
  const sealed = found.filter(({ state, presence }) => state === 'sealed' && presence !== 'absent');
  const copies: ImageCopyRecord[] = [];
  const missing: string[] = [];
  const notes: string[] = [];
  for (const copy of kept.copies) {
    const { node, disk, state, lvolUuid } = copy;
    const here = found.filter((one) => one.node === node && one.disk === disk);
    const there = here.find((one) => sealed.includes(one));
    const isSilent = !answered.has(node);
    if (state !== 'fetching' && (isSilent || (lvolUuid !== null && there?.uuid === lvolUuid)))
      copies.push(copy);
    // Whatever its state was: it may have become ready since, the source of others, and have been deleted with those.
    const isSeen = there !== undefined || (state === 'fetching' && here.length > 0);
    if (isSeen && !isSilent) continue;
    missing.push(
      isSilent
        ? `node '${node}', which has a copy on disk ${disk}, does not answer`
        : `node '${node}' answers, and its copy on disk ${disk} is not there any more`,
    );
  }
  for (const { node, disk, uuid } of sealed) {
    if (uuid === null || copies.some((copy) => copy.disk === disk)) continue;
    // Not known to be the image: it is not used before a reading has found it right, and goes if nothing stands on it.
    copies.push({
      ...{ node, disk, state: 'corrupt', lvolUuid: uuid },
      ...{ readyAt: null, checkedAt: null, wantedAt: null },
    });
    notes.push(
      `whether its copy on disk ${disk} of node '${node}' was read back is not known: 'lariat image verify ${kept.name}' settles it`,
    );
  }
  return { copies, missing, notes };
}
