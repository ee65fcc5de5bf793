import {
  type ImageEvidence,
  type RecoveredImage,
  type RecoveredImages,
  comparePositions,
  positionOf,
} from '@lariat/contracts';
import { delay, toLariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { VolumeStore } from '../adapters/volume-store.js';
import type { NodeAnswer, VolumeEvidence } from '../domain/recovery/evidence.js';

export interface ImageRecoveryParts {
  readonly volumes: VolumeStore;
  readonly client: Pick<LariatClient, 'request'>;
}

/** Of the images in one request: a message may have 1 MiB, and a service that died with it is not waited for for long. */
const BATCH_BYTES = 256 * 1024;
const BATCH_IMAGES = 32;
const BATCH_TIMEOUT_MS = 20_000;
/** As long as another instance of the service takes to be up. */
const TRIES = 10;
const AGAIN_AFTER_MS = 1_000;

/** All that was told of images, in the order of their ids: the newest record of each, and who has a copy. */
export function evidenceByImage(
  answers: readonly NodeAnswer[],
  usersOf: (image: string) => readonly string[],
  isAccepted: (...references: readonly string[]) => boolean,
): readonly ImageEvidence[] {
  const told = new Map<string, Pick<ImageEvidence, 'record' | 'copies'>>();
  for (const answer of answers) {
    if (!answer.answered) continue;
    for (const { image, record, copies } of answer.images) {
      const known = told.get(image) ?? { record: null, copies: [] };
      const here = copies.map((copy) => ({ ...copy, node: answer.node }));
      told.set(image, {
        record: newerOf(known.record, record),
        copies: [...known.copies, ...here],
      });
    }
  }
  return Array.from(told, ([image, { record, copies }]) => ({
    ...{ image, record, copies, usedBy: usersOf(image) },
    isAccepted: isAccepted(image, ...(record === null ? [] : [record.name])),
  })).toSorted((a, b) => (a.image < b.image ? -1 : 1));
}

type Kept = ImageEvidence['record'];

/** At the same place, which a store that was set back may have counted to again, a deletion counts. */
function newerOf(a: Kept, b: Kept): Kept {
  if (a === null || b === null) return a ?? b;
  const order = comparePositions(positionOf(a), positionOf(b));
  if (order !== 0) return order > 0 ? a : b;
  return b.state === 'deleting' ? b : a;
}

/** The names of the volumes that name each image, by what nodes keep and by what the store has. */
export async function findImageUsers(
  { volumes }: Pick<ImageRecoveryParts, 'volumes'>,
  evidence: readonly VolumeEvidence[],
): Promise<(image: string) => readonly string[]> {
  const users = new Map<string, Set<string>>();
  const stored = volumes.list();
  const known = new Set(stored.map(({ id }) => id));
  const lost = evidence.filter(({ volume }) => !known.has(volume));
  const deleted = new Set<string>();
  for (const { volume } of lost) if (await volumes.deleted.has(volume)) deleted.add(volume);
  const records = [
    ...stored,
    ...lost
      .filter(({ volume }) => !deleted.has(volume))
      .flatMap(({ copies }) => copies.map(({ record }) => record)),
  ];
  for (const { name, image } of records)
    if (image != null) users.set(image, (users.get(image) ?? new Set()).add(name));
  return (image) => [...(users.get(image) ?? [])];
}

/** Has the image service put back what it has lost. Where it does not answer, its images are left, and said to be. */
export async function recoverImages(
  { client }: Pick<ImageRecoveryParts, 'client'>,
  evidence: readonly ImageEvidence[],
  wish: { readonly dryRun: boolean; readonly answered: readonly string[] },
): Promise<RecoveredImages> {
  try {
    const tries = evidence.length === 0 ? 1 : TRIES;
    const all = [...evidence, ...(await persistently(tries, () => othersThan(evidence, client)))];
    const answers: RecoveredImages[] = [];
    for (const images of batches(all)) {
      const body = { images: [...images], answered: [...wish.answered], dryRun: wish.dryRun };
      const options = { timeoutMs: BATCH_TIMEOUT_MS };
      answers.push(
        await persistently(TRIES, () => client.request('internal.image.recover', body, options)),
      );
    }
    return {
      images: answers.flatMap(({ images }) => images),
      written: answers.some(({ written }) => written),
      names: answers.reduce((sum, { names }) => sum + names, 0),
    };
  } catch (error) {
    const { message } = toLariatError(error);
    const images = evidence.map((one) => unasked(one, message));
    return { images, written: false, names: 0 };
  }
}

/** Images that the store has and no node tells of: their names are looked after. */
async function othersThan(
  evidence: readonly ImageEvidence[],
  client: ImageRecoveryParts['client'],
): Promise<readonly ImageEvidence[]> {
  const { images } = await client.request('image.list', {});
  const heard = new Set(evidence.map(({ image }) => image));
  return images
    .filter(({ id }) => !heard.has(id))
    .map(({ id }) => ({ image: id, record: null, copies: [], usedBy: [], isAccepted: false }));
}

async function persistently<T>(tries: number, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= tries) throw error;
      await delay(AGAIN_AFTER_MS);
    }
  }
}

const unasked = ({ image, record }: ImageEvidence, message: string): RecoveredImage => ({
  ...{ id: image, name: record?.name ?? image, outcome: 'not-recovered', state: null },
  ...{ sizeBytes: record?.sizeBytes ?? 0, copies: [] },
  notes: [
    `the image service does not answer: run 'lariat recover' again when it does (${message})`,
  ],
});

function batches(all: readonly ImageEvidence[]): readonly (readonly ImageEvidence[])[] {
  const found: ImageEvidence[][] = [];
  let bytes = BATCH_BYTES;
  for (const one of all) {
    const size = JSON.stringify(one).length;
    if (bytes + size > BATCH_BYTES || found.at(-1)?.length === BATCH_IMAGES) {
      found.push([]);
      bytes = 0;
    }
    found.at(-1)?.push(one);
    bytes += size;
  }
  return found;
}
