import { type EnsureImageCopiesRequest, hasCode } from '@lariat/contracts';
import { type LariatError, delay, toLariatError } from '@lariat/kernel';
import { whileWanted } from './cancellation.js';
import type { RetryPolicy, StepContext } from './definition.js';
import { isUnanswered, whileNodesLive } from './node-commands.js';

type Context = StepContext<unknown, unknown>;

/** Of a step that fetches an image: its service may be starting anew. */
export const FETCH_IMAGE_RETRY: RetryPolicy = {
  attempts: 10,
  backoff: { initialMs: 100, maxMs: 2_000, factor: 2 },
};

/** A large image takes long; what ends it early is a node that is declared gone. */
export const FETCH_IMAGE_TIMEOUT_MS = 24 * 3_600_000;

/** What is fetched goes on when an answer does not come in time, and is joined by the next request. */
const ANSWER_MS = 10_000;
const ASK_AGAIN_MS = 500;

/**
 * Resolves when each of the disks has a copy of the image for replicas to stand on. A disk whose node is declared gone is
 * not waited for (NODE_NOT_READY), nor is a cancel. Nothing is to be undone: the copies are the image's.
 */
export async function fetchImage(
  context: Context,
  request: EnsureImageCopiesRequest,
): Promise<void> {
  const over = new AbortController();
  const nodes = [...new Set(request.disks.map(({ node }) => node))];
  try {
    const wanted = whileWanted(context, whileAsked(context, request, over.signal));
    await whileNodesLive(context, nodes, wanted);
  } finally {
    over.abort();
  }
}

async function whileAsked(
  context: Context,
  request: EnsureImageCopiesRequest,
  over: AbortSignal,
): Promise<void> {
  while (!over.aborted) {
    try {
      const options = { timeoutMs: ANSWER_MS };
      await context.client.request('internal.image.ensure-copies', request, options);
      return;
    } catch (error) {
      if (!hasCode(error, 'DEADLINE_EXCEEDED')) throw error;
    }
    await tellProgress(context, request);
    await delay(ASK_AGAIN_MS, over);
  }
}

/** What operation.get shows meanwhile; the image's own operations have the bytes. */
async function tellProgress(
  context: Context,
  { image, disks }: EnsureImageCopiesRequest,
): Promise<void> {
  const { client, log, operation } = context;
  try {
    const { copies } = await client.request('internal.image.record', { image });
    const ready = disks.filter(({ disk }) =>
      copies.some((copy) => copy.disk === disk && copy.state === 'ready'),
    );
    context.progress(ready.length, disks.length, 'copies of the image');
  } catch (error) {
    log.info('progress of an image not known', { operation, image, error });
  }
}

/**
 * The same for what can do without: undefined when the copies are there, else why they can't be had. Then all that the
 * source has is copied, which takes longer and more room, and no less is there in the end.
 */
export async function tryFetchImage(
  context: Context,
  request: EnsureImageCopiesRequest,
): Promise<LariatError | undefined> {
  try {
    await fetchImage(context, request);
    return undefined;
  } catch (reason) {
    const error = toLariatError(reason);
    const isRefused = hasCode(
      error,
      'IMAGE_NOT_FOUND',
      'IMAGE_NOT_READY',
      'IMAGE_COPY_FAILED',
      'NO_CAPACITY',
    );
    // A volume's redundancy does not hang on the service of images.
    const isLastTry = isUnanswered(error) && context.attempt >= FETCH_IMAGE_RETRY.attempts;
    if (!isRefused && !isLastTry) throw reason;
    const { operation, log } = context;
    const { image, volume } = request;
    log.warn('the image can not be had: all is copied instead', {
      ...{ operation, volume, image, code: error.code, reason: error.message },
    });
    return error;
  }
}
