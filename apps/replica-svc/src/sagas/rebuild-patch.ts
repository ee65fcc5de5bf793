import {
  MAX_DIGESTS_PER_PAGE,
  STALE_HEAD,
  type SnapshotRecord,
  nodeHostNqn,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { cleanUp, followProgress, whileNodesLive, whileWanted } from '@lariat/saga';
import { nextPieceLimit } from './rebuild-control.js';
import {
  type RebuildContext,
  type RebuildDeps,
  joinSnapshotId,
  remembered,
} from './rebuild-memory.js';

const COMMAND_TIMEOUT_MS = 30_000;
/** Small enough that a rebuild that is cut off loses little, and one that is to pause does so soon: 1 GiB. */
const PAGE_CLUSTERS = Math.min(1_024, MAX_DIGESTS_PER_PAGE);

/**
 * Makes the replica's copy of a snapshot out of its old head: page by page, the source's digests go to the target's
 * node, which reads from the source only the clusters that differ. Answers the clusters copied so far by the rebuild.
 */
export async function patchSnapshot(
  deps: RebuildDeps,
  context: RebuildContext,
  snapshot: SnapshotRecord,
  before: number,
): Promise<number> {
  const { volume } = context.input;
  const source = remembered(context.memory.source, 'source');
  const target = remembered(context.memory.target, 'target');
  const key = snapshot.id;
  const onTarget = { replica: target.id, volume };
  const options = { key, timeoutMs: COMMAND_TIMEOUT_MS };
  await digestBoth(context, snapshot.id);
  const exported = await context.command(
    source.node,
    'rebuild.export-snapshot',
    { replica: source.id, volume, snapshot: snapshot.id, hostNqn: nodeHostNqn(target.node) },
    options,
  );
  const clusters = snapshot.sizeBytes / CLUSTER_SIZE_BYTES;
  const { patched } = context.memory;
  let copiedClusters = before;
  let firstCluster = patched?.snapshot === snapshot.id ? patched.nextCluster : 0;
  while (firstCluster < clusters) {
    const page = `${key}/${firstCluster}`;
    await context.command(
      target.node,
      'rebuild.create-scratch',
      {
        ...onTarget,
        disk: target.disk,
        sizeBytes: snapshot.sizeBytes,
        parent: STALE_HEAD,
        // Its own node alone: it is the one that writes here.
        hostNqn: nodeHostNqn(target.node),
        mibPerSecond: await nextPieceLimit(deps, context),
      },
      { key: page, timeoutMs: COMMAND_TIMEOUT_MS },
    );
    const count = Math.min(PAGE_CLUSTERS, clusters - firstCluster);
    const of = { replica: source.id, volume, snapshot: snapshot.id };
    const work = context
      .command(
        source.node,
        'rebuild.read-digests',
        { ...of, firstCluster, clusters: count },
        { key: page },
      )
      .then(({ digests }) =>
        context.command(
          target.node,
          'rebuild.copy-clusters',
          { ...onTarget, base: STALE_HEAD, source: exported, firstCluster, digests },
          { key: page },
        ),
      );
    const pageStart = firstCluster;
    // What differs of a page is told; the page's other clusters count as done in proportion.
    const stopFollowing = followProgress(context, ({ done: differing, total }) =>
      context.progress(pageStart + Math.floor((count * differing) / total), clusters, 'clusters'),
    );
    const wanted = whileWanted(context, work);
    const done = await whileNodesLive(context, [source.node, target.node], wanted).finally(
      stopFollowing,
    );
    copiedClusters += done.copiedClusters;
    firstCluster += count;
    await context.checkpoint({
      copiedClusters,
      patched: { snapshot: snapshot.id, nextCluster: firstCluster },
    });
    context.progress(firstCluster, clusters, 'clusters');
  }
  await context.command(
    target.node,
    'rebuild.freeze-scratch',
    { ...onTarget, snapshot: snapshot.id },
    options,
  );
  // The join's export stays: the new head stands on it until it is settled.
  if (snapshot.id !== joinSnapshotId(context)) await unexport(context, snapshot.id);
  return copiedClusters;
}

export async function unexport(context: RebuildContext, snapshot: string): Promise<void> {
  const source = remembered(context.memory.source, 'source');
  const input = { replica: source.id, volume: context.input.volume, snapshot };
  await cleanUp(context, source.node, 'rebuild.unexport-snapshot', input, `patch/${snapshot}`);
}

/** Both sides read at the same time; the pages are then served from what they have found. */
async function digestBoth(context: RebuildContext, snapshot: string): Promise<void> {
  const { volume } = context.input;
  const source = remembered(context.memory.source, 'source');
  const target = remembered(context.memory.target, 'target');
  const digest = (node: string, replica: string, of: string, verified: boolean) =>
    context.command(
      node,
      'rebuild.digest-snapshot',
      { replica, volume, snapshot: of, verified },
      { key: `${replica}/${of}` },
    );
  const work = Promise.all([
    digest(source.node, source.id, snapshot, false),
    digest(target.node, target.id, STALE_HEAD, true),
  ]);
  const wanted = whileWanted(context, work);
  await whileNodesLive(context, [source.node, target.node], wanted);
}
