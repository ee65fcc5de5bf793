import {
  type ImageEvidence,
  type ImageRecord,
  type RecoverImagesRequest,
  type RecoveredImage,
  type RecoveredImages,
  RecoveryOutcome,
  lariatError,
} from '@lariat/contracts';
import { type Clock, sideBySide, toLariatError } from '@lariat/kernel';
import {
  type CommandClient,
  type LariatClient,
  type Versioned,
  claimRecoveredName,
} from '@lariat/messaging';
import { isOperationRunning } from '@lariat/saga';
import type { ImageStore } from '../adapters/image-store.js';
import { type ImagePlan, planImage } from '../domain/recovery/plan-image.js';
import { deleteOn } from '../reconcilers/copy-repairs.js';

export interface ImageRecoveryParts {
  readonly images: ImageStore;
  readonly client: Pick<LariatClient, 'request'>;
  readonly commands: Pick<CommandClient, 'send'>;
  readonly clock: Clock;
  readonly actor: string;
}

/** What became, or would become, of one image. */
interface Outcome {
  readonly image: RecoveredImage;
  readonly written: boolean;
  readonly named: boolean;
}

/** Images worked on at once. */
const SIDE_BY_SIDE = 8;

type Wish = Pick<RecoverImagesRequest, 'dryRun' | 'answered'>;

/** Decides on each image and writes what was decided; one that can't be put back leaves the others alone. */
export async function recoverImages(
  parts: ImageRecoveryParts,
  { images, answered, dryRun }: RecoverImagesRequest,
): Promise<RecoveredImages> {
  const wish = { answered, dryRun };
  const found = await sideBySide(images, SIDE_BY_SIDE, (one) => recoverOne(parts, wish, one));
  const outcomes = found.flatMap((outcome) => outcome ?? []);
  return {
    images: outcomes.map(({ image }) => image),
    written: outcomes.some(({ written }) => written),
    names: outcomes.filter(({ named }) => named).length,
  };
}

/** Undefined for one that was deleted: there is nothing to tell of it. */
async function recoverOne(
  parts: ImageRecoveryParts,
  wish: Wish,
  evidence: ImageEvidence,
): Promise<Outcome | undefined> {
  const { images } = parts;
  const id = evidence.image;
  try {
    const stored = await images.readVersioned(id);
    const plan = planImage(evidence, {
      stored: stored?.value,
      wasDeleted: stored === undefined && (await images.deleted.has(id)),
      answered: new Set(wish.answered),
    });
    return await carryOut(parts, wish, evidence, plan, stored);
  } catch (error) {
    const notes = [`it failed: ${toLariatError(error).message}`];
    return untouched(describe(id, evidence.record, 'not-recovered', notes));
  }
}

const untouched = (image: RecoveredImage): Outcome => ({ image, written: false, named: false });

async function carryOut(
  parts: ImageRecoveryParts,
  wish: Wish,
  evidence: ImageEvidence,
  plan: ImagePlan,
  stored: Versioned<ImageRecord> | undefined,
): Promise<Outcome | undefined> {
  const { images, actor } = parts;
  const id = evidence.image;
  switch (plan.kind) {
    case 'deleted':
      return undefined;
    case 'on-record': {
      const { record } = plan;
      const isMissing = (await images.names.imageOf(record.name)) === undefined;
      // A deletion gives the name back before, or after, it takes the record away: it has an operation until then.
      const named = isMissing && record.operation === null;
      if (named && !wish.dryRun) await images.names.reserve(record.name, id);
      return { image: describe(id, record, 'on-record', []), written: false, named };
    }
    case 'in-doubt':
      return untouched(describe(id, plan.record, 'in-doubt', plan.notes));
    case 'left': {
      const drafts = plan.record === null ? await endDrafts(parts, wish, evidence) : [];
      return {
        ...untouched(describe(id, plan.record, 'not-recovered', [...plan.notes, ...drafts])),
        written: drafts.length > 0,
      };
    }
    case 'put-back': {
      const { name, named } = await claimName(parts, plan.record, wish.dryRun);
      const record = { ...plan.record, name };
      if (!wish.dryRun) await images.tell(await images.restore(record, stored, actor));
      const renamed =
        name === plan.record.name
          ? []
          : [`another image is named '${plan.record.name}' by now: this one is named '${name}'`];
      const image = describe(id, record, 'recovered', [...plan.notes, ...renamed]);
      return { image, written: true, named };
    }
  }
}

/**
 * A draft is finished by the operation that writes it or by none: without that it is of no use to anybody, whatever nodes
 * that were not heard keep.
 */
async function endDrafts(
  parts: ImageRecoveryParts,
  { dryRun }: Wish,
  { image, copies }: ImageEvidence,
): Promise<readonly string[]> {
  const notes: string[] = [];
  for (const { node, disk, state, operation } of copies) {
    const isSealed = copies.some((one) => {
      return one.node === node && one.disk === disk && one.state === 'sealed';
    });
    if (state !== 'writing' || isSealed || (await isOperationRunning(parts.client, operation)))
      continue;
    if (!dryRun) await deleteOn(parts, node, { image, disk });
    notes.push(`nobody goes on with the draft on disk ${disk} of node '${node}': it goes`);
  }
  return notes;
}

async function claimName(
  { images: { names } }: ImageRecoveryParts,
  record: ImageRecord,
  dryRun: boolean,
): Promise<{ readonly name: string; readonly named: boolean }> {
  const claimed = await claimRecoveredName(
    {
      holderOf: (name) => names.imageOf(name),
      reserve: (name, id) => names.reserve(name, id),
    },
    record,
    dryRun,
  );
  if (claimed !== undefined) return claimed;
  throw lariatError(
    'IMAGE_NAME_TAKEN',
    `The name '${record.name}', and that with its id behind it, are both taken: delete one of those images.`,
  );
}

function describe(
  id: string,
  record: ImageRecord | null,
  outcome: RecoveryOutcome,
  notes: readonly string[],
): RecoveredImage {
  return {
    id,
    name: record?.name ?? id,
    outcome,
    state: record?.state ?? null,
    sizeBytes: record?.sizeBytes ?? 0,
    copies: (record?.copies ?? []).map(({ node, disk, state }) => ({ node, disk, state })),
    notes,
  };
}
