import { createHash } from 'node:crypto';
import {
  type DigestPage,
  MAX_DIGESTS_PER_PAGE,
  decodeDigestPage,
  hasCode,
  imageFetchHostNqn,
  lariatError,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, type LariatError, toLariatError } from '@lariat/kernel';
import {
  attemptWhileLive,
  commandWhileLive,
  isUnanswered,
  whileNodesLive,
  whileWanted,
} from '@lariat/saga';
import { type ImageSagaDeps, whileFollowed } from './saga-deps.js';
import type { SourceCopy, SpreadContext } from './spread-image.saga.js';

const EXPORT_TIMEOUT_MS = 30_000;

/** Fetches page by page; when a source is lost, or is not the image, the next one goes on from there. */
export async function fetchContent(deps: ImageSagaDeps, context: SpreadContext): Promise<void> {
  let fetched = context.memory.fetched ?? 0;
  const failures: { readonly source: SourceCopy; readonly error: LariatError }[] = [];
  let sources = context.memory.sources ?? [];
  for (;;) {
    const source = await nextSource(
      deps,
      context,
      failures.map((failure) => failure.source),
    );
    if (source === undefined) throw noSource(context, failures);
    // Before it is asked: whoever undoes this knows what to end.
    if (!sources.some(({ disk }) => disk === source.disk)) sources = [...sources, source];
    await context.checkpoint({ sources });
    count(deps, source, 1);
    try {
      await fetchFrom(context, source, fetched, async (clusters) => {
        fetched = clusters;
        await context.checkpoint({ fetched });
      });
      return;
    } catch (reason) {
      const error = toLariatError(reason);
      if (!(await isFaultOf(context, source, error))) throw error;
      context.log.warn('another copy is fetched from', { ...context.input, source, error });
      failures.push({ source, error });
    } finally {
      count(deps, source, -1);
    }
  }
}

function count({ readers }: ImageSagaDeps, { disk }: SourceCopy, by: number): void {
  const readersThen = (readers.get(disk) ?? 0) + by;
  if (readersThen > 0) readers.set(disk, readersThen);
  else readers.delete(disk);
}

/** The ready copy on a ready node that the fewest read from; one on the same node before others that are as idle. */
async function nextSource(
  { images, readers }: ImageSagaDeps,
  { input, client }: SpreadContext,
  failed: readonly SourceCopy[],
): Promise<SourceCopy | undefined> {
  const record = await images.read(input.image);
  const { nodes } = await client.request('node.list', {});
  const isUp = (name: string): boolean =>
    nodes.some((node) => node.name === name && node.state === 'ready');
  const rank = ({ node, disk }: SourceCopy): number =>
    2 * (readers.get(disk) ?? 0) + (node === input.node ? 0 : 1);
  const [best] = (record?.copies ?? [])
    .filter(({ state, disk, node }) => state === 'ready' && disk !== input.disk && isUp(node))
    .filter(({ disk }) => !failed.some((one) => one.disk === disk))
    .toSorted((a, b) => rank(a) - rank(b));
  return best === undefined ? undefined : { node: best.node, disk: best.disk };
}

/** Whether another source may do better: not when it is the destination that fails, or the operation is unwanted. */
async function isFaultOf(
  { input, client }: SpreadContext,
  { node }: SourceCopy,
  error: LariatError,
): Promise<boolean> {
  if (hasCode(error, 'IMAGE_SOURCE_LOST', 'IMAGE_COPY_CORRUPT', 'IMAGE_COPY_NOT_FOUND'))
    return true;
  if (hasCode(error, 'IMAGE_COPY_NOT_SEALED')) return true;
  if (node === input.node) return false;
  if (!isUnanswered(error) && error.code !== 'NODE_NOT_READY') return false;
  const { state } = await client.request('node.get', { node: input.node });
  return state === 'ready' && error.details?.node !== input.node;
}

async function fetchFrom(
  context: SpreadContext,
  source: SourceCopy,
  begin: number,
  reached: (clusters: number) => Promise<void>,
): Promise<void> {
  const { image, node, disk } = context.input;
  const clusters = (context.memory.sizeBytes ?? 0) / CLUSTER_SIZE_BYTES;
  await assertIsImage(context, source, clusters);
  const from = await commandWhileLive(
    context,
    source.node,
    'image.export-copy',
    { image, disk: source.disk, hostNqn: imageFetchHostNqn(image, disk) },
    { key: source.disk, timeoutMs: EXPORT_TIMEOUT_MS },
  );
  for (let first = begin; first < clusters; first += MAX_DIGESTS_PER_PAGE) {
    const digests = await readPage(context, source, first, clusters);
    const input = { image, disk, source: from, firstCluster: first, digests };
    const key = `${source.disk}/${first}`;
    await whileFollowed(context, () => {
      const fetch = context.command(node, 'image.fetch-copy', input, { key });
      return whileNodesLive(context, [node, source.node], whileWanted(context, fetch));
    });
    await reached(Math.min(clusters, first + MAX_DIGESTS_PER_PAGE));
  }
}

function readPage(
  context: SpreadContext,
  source: SourceCopy,
  firstCluster: number,
  clusters: number,
): Promise<DigestPage> {
  const { image } = context.input;
  const count = Math.min(MAX_DIGESTS_PER_PAGE, clusters - firstCluster);
  const input = { image, disk: source.disk, firstCluster, clusters: count };
  const key = `${source.disk}/${firstCluster}`;
  const reading = commandWhileLive(context, source.node, 'image.read-digests', input, { key });
  return whileWanted(context, reading).then(({ digests }) => digests);
}

/** The digests that the source tells must be the image's, or what is fetched by them is something else. */
async function assertIsImage(
  context: SpreadContext,
  source: SourceCopy,
  clusters: number,
): Promise<void> {
  const { sizeBytes = 0, rootSha256 = '' } = context.memory;
  const root = createHash('sha256').update(`${sizeBytes}:`);
  for (let first = 0; first < clusters; first += MAX_DIGESTS_PER_PAGE)
    for (const digest of decodeDigestPage(await readPage(context, source, first, clusters)))
      root.update(digest);
  const found = root.digest('hex');
  if (found === rootSha256) return;
  throw lariatError(
    'IMAGE_COPY_CORRUPT',
    `The copy on disk ${source.disk} of node '${source.node}' is not the image: its digest is ${found}, and not ${rootSha256}. Run 'lariat image verify ${context.input.image}'.`,
    { node: source.node, disk: source.disk, expected: rootSha256, found },
  );
}

function noSource(
  { input }: SpreadContext,
  failures: readonly { readonly source: SourceCopy; readonly error: LariatError }[],
): Error {
  const tried = failures.map(({ source, error }) => ({
    ...{ node: source.node, disk: source.disk, code: error.code, message: error.message },
  }));
  const why =
    tried.length === 0
      ? 'none is ready on a node that answers'
      : tried.map(({ node, message }) => `from node '${node}': ${message}`).join('; ');
  return lariatError(
    'IMAGE_COPY_FAILED',
    `Image ${input.image} could not be fetched to disk ${input.disk} of node '${input.node}' from any of its copies: ${why}`,
    { ...input, tried },
  );
}

/** Ends what the sources were asked to export; what one that does not answer still exports goes with its copy. */
export async function endReads(context: SpreadContext): Promise<void> {
  const { image, disk } = context.input;
  const hostNqn = imageFetchHostNqn(image, disk);
  await Promise.all(
    (context.memory.sources ?? []).map(async (source) => {
      const input = { image, disk: source.disk, hostNqn };
      const ended = await attemptWhileLive(
        context,
        source.node,
        'image.unexport-copy',
        input,
        source.disk,
      );
      if (!ended.ok && !hasCode(ended.error, 'NODE_NOT_READY', 'IMAGE_COPY_NOT_FOUND'))
        throw ended.error;
    }),
  );
}
