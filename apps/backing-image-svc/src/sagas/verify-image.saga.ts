import {
  type ImageCopyRecord,
  type ImageRecord,
  type ImageVerdict,
  type ImageVerification,
  hasCode,
  positionOf,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  FETCH_IMAGE_RETRY,
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  type StepContext,
  attemptWhileLive,
  tryFetchImage,
  whileWanted,
} from '@lariat/saga';
import { imageNotReady } from '../domain/apply-change.js';
import {
  type ImageSagaDeps,
  READ_TIMEOUT_MS,
  changeIfThere,
  nowIso,
  whileFollowed,
} from './saga-deps.js';

export interface VerifyInput {
  readonly image: string;
  readonly mibPerSecond: number;
}

interface CopySum {
  readonly node: string;
  readonly disk: string;
  readonly found: string | null;
  readonly reason: string | null;
}

interface VerifyMemory {
  readonly rootSha256: string;
  readonly sums: readonly CopySum[];
  /** Of those that were found wrong: gone from their disks. */
  readonly gone: readonly { readonly node: string; readonly disk: string }[];
  readonly isRepaired: boolean;
}

type VerifyContext = StepContext<VerifyInput, VerifyMemory>;

/** Reads every copy whole. One that is not the image goes, and is fetched again from one that is. */
export function verifyImageSaga(deps: ImageSagaDeps): SagaDefinition<VerifyInput, VerifyMemory> {
  const { images } = deps;
  return {
    kind: 'image.verify',
    // Its own: a slow reading is in no deletion's way, which ends it.
    subjectOf: ({ image }) => `image-verify/${image}`,
    steps: [
      {
        name: 'read',
        waitsFor: 'the copies to be read',
        timeoutMs: READ_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const record = await images.read(context.input.image);
          const rootSha256 = record?.checksums.rootSha256 ?? null;
          if (record?.state !== 'ready' || rootSha256 === null)
            throw notVerifiable(context.input.image, record);
          const sums = await whileWanted(context, readCopies(context, record));
          return { rootSha256, sums };
        },
      },
      {
        name: 'mark',
        waitsFor: 'what was found to be recorded',
        timeoutMs: COMMAND_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async ({ input, memory, actor }) => {
          const at = nowIso(deps);
          await changeIfThere(
            deps,
            input.image,
            (record) => record.copies.flatMap((copy) => marked(copy, memory, at)),
            actor,
          );
        },
      },
      {
        name: 'delete-wrong',
        waitsFor: 'wrong copies to go',
        timeoutMs: 3 * COMMAND_TIMEOUT_MS,
        retry: { ...RETRY_BRIEFLY, attempts: 10 },
        run: async (context) => ({ gone: await deleteWrong(deps, context) }),
      },
      {
        name: 'replace',
        waitsFor: 'right copies to be fetched',
        timeoutMs: READ_TIMEOUT_MS,
        retry: FETCH_IMAGE_RETRY,
        run: async (context) => {
          const { image } = context.input;
          const disks = (context.memory.gone ?? []).map(({ node, disk }) => ({ node, disk }));
          if (disks.length === 0) return {};
          // What was found is the answer, also where it can't be put right: the reconciler goes on with that.
          const failure = await tryFetchImage(context, { image, disks, volume: image });
          return { isRepaired: failure === undefined };
        },
      },
    ],
    result: (input, memory): Json => ({ ...verificationOf(input.image, memory) }),
  };
}

function notVerifiable(image: string, record: ImageRecord | undefined): Error {
  if (record !== undefined) return imageNotReady(record, `is ${record.state}`);
  return new Error(`image ${image} is gone`);
}

const isRead = ({ state }: ImageCopyRecord): boolean => state === 'ready' || state === 'corrupt';

function readCopies(context: VerifyContext, record: ImageRecord): Promise<readonly CopySum[]> {
  const { mibPerSecond } = context.input;
  return whileFollowed(context, () =>
    Promise.all(
      record.copies.filter(isRead).map(async ({ node, disk }) => {
        const input = { image: record.id, disk, reread: true, mibPerSecond };
        const read = await attemptWhileLive(
          context,
          node,
          'image.digest-copy',
          input,
          disk,
          READ_TIMEOUT_MS,
        );
        return read.ok
          ? { node, disk, found: read.output.sha256, reason: null }
          : { node, disk, found: null, reason: read.error.message };
      }),
    ),
  );
}

function marked(
  copy: ImageCopyRecord,
  { rootSha256, sums = [] }: Readonly<Partial<VerifyMemory>>,
  at: string,
): { readonly type: 'put-copy'; readonly copy: ImageCopyRecord }[] {
  const sum = sums.find(({ disk }) => disk === copy.disk);
  // A copy that could not be read is neither right nor wrong (invariant 2).
  if (sum?.found == null || !isRead(copy)) return [];
  const isRight = sum.found === rootSha256;
  const state = isRight ? 'ready' : 'corrupt';
  return [{ type: 'put-copy', copy: { ...copy, state, ...(isRight ? { checkedAt: at } : {}) } }];
}

/** With none that is right left, nothing is deleted: a wrong one may be what somebody can save something from. */
async function deleteWrong(
  deps: ImageSagaDeps,
  context: VerifyContext,
): Promise<VerifyMemory['gone']> {
  const { sums = [], rootSha256 } = context.memory;
  const { image } = context.input;
  if (!sums.some(({ found }) => found === rootSha256)) return [];
  const wrong = sums.filter(({ found }) => found !== null && found !== rootSha256);
  const decidedBy = await deps.images.read(image);
  const record = decidedBy === undefined ? undefined : { record: positionOf(decidedBy) };
  const gone = await Promise.all(
    wrong.map(async ({ node, disk }) => {
      const deleted = await attemptWhileLive(
        context,
        node,
        'image.delete-copy',
        { image, disk, ...record },
        disk,
      );
      if (deleted.ok) {
        await context.client.request('internal.placement.release-copy', { image, node, disk });
        return [{ node, disk }];
      }
      // Replicas stand on it: it stays, marked, and nothing new is made of it. One whose node is gone is looked at later.
      if (hasCode(deleted.error, 'IMAGE_COPY_IN_USE', 'NODE_NOT_READY')) return [];
      throw deleted.error;
    }),
  );
  const reason = 'it was not the image';
  const drops = gone.flat().map(({ disk }) => ({ type: 'drop-copy', disk, reason }) as const);
  if (drops.length > 0) await changeIfThere(deps, image, drops, context.actor);
  return gone.flat();
}

function verificationOf(
  image: string,
  { rootSha256 = '', sums = [], gone = [], isRepaired = false }: Readonly<Partial<VerifyMemory>>,
): ImageVerification {
  const wrong = sums.filter(({ found }) => found !== null && found !== rootSha256);
  const verdict = (): ImageVerdict => {
    if (wrong.length === 0) return 'identical';
    return isRepaired && gone.length === wrong.length ? 'repaired' : 'differs';
  };
  return {
    image,
    verdict: verdict(),
    rootSha256,
    copies: sums.map((sum) => ({
      ...sum,
      isRight: sum.found === null ? null : sum.found === rootSha256,
    })),
  };
}
