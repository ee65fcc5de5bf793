import {
  type SnapshotRecord,
  hasCode,
  lariatError,
  nodeHostNqn,
  scratchNqn,
} from '@lariat/contracts';
import { type LariatError, toLariatError } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  cleanUp,
  commandWhileLive,
  followProgress,
  whileNodesLive,
  whileWanted,
} from '@lariat/saga';
import { inCopyOrder } from '../domain/snapshot-order.js';
import { findVolume } from './find-volume.js';
import { nextPieceLimit } from './rebuild-control.js';
import { copyOnImage } from './rebuild-image.js';
import { patchSnapshot, unexport } from './rebuild-patch.js';
import {
  type RebuildContext,
  type RebuildDeps,
  type RebuildStep,
  joinSnapshotId,
  remembered,
} from './rebuild-memory.js';

/** A copy may take long; what ends it early is a node that is declared gone. */
const COPY_TIMEOUT_MS = 24 * 3_600_000;

/** Step (d) of design section 5: the chain, oldest first, while writes go on. */
export function copyStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'copy',
    waitsFor: (_input, memory) =>
      `snapshots to be copied from ${memory.source?.node ?? '?'} to ${memory.target?.node ?? '?'}`,
    timeoutMs: COPY_TIMEOUT_MS,
    retry: { ...RETRY_BRIEFLY, attempts: 10 },
    run: async (context) => {
      const volume = await findVolume(deps, context.input.volume);
      const { plan, copied: before = [] } = context.memory;
      const copied = new Set([...before, ...(plan?.keep ?? [])]);
      let { copiedClusters = 0, image = null } = context.memory;
      for (const snapshot of inCopyOrder(volume.snapshots)) {
        if (copied.has(snapshot.id)) continue;
        if (snapshot.id === plan?.patch) {
          copiedClusters = await patchSnapshot(deps, context, snapshot, copiedClusters);
        } else {
          const before = copiedClusters;
          const done = await copyOnImage(context, image, (onto) =>
            copySnapshot(deps, context, snapshot, before, onto),
          );
          copiedClusters += done.copied;
          image = done.image;
        }
        copied.add(snapshot.id);
        await context.checkpoint({ copied: [...copied], copiedClusters });
      }
    },
    undo: async (context) => {
      const { source, target } = context.memory;
      if (source === undefined || target === undefined) return;
      const input = {
        replica: source.id,
        volume: context.input.volume,
        scratchNqn: scratchNqn(target.id),
      };
      await cleanUp(context, source.node, 'rebuild.detach-scratch', input, source.id);
      const { patched } = context.memory;
      if (patched !== undefined) await unexport(context, patched.snapshot);
    },
  };
}

/** The source's node tells of it, whose disks it is not about: a copy takes room where it is made. */
const fullAt = ({ node, disk }: { readonly node: string; readonly disk: string }, cause: unknown) =>
  lariatError(
    'DISK_FULL',
    `Disk ${disk} of node '${node}' has no room for the copy; free space there, or add a disk.`,
    { node, disk },
    cause,
  );

const isOfPath = (error: unknown, nqn: string): error is LariatError =>
  hasCode(error, 'LEG_UNREACHABLE') && toLariatError(error).details?.['nqn'] === nqn;

/** Told by the source's node too, and about the other one. */
const outOfReach = (
  source: { readonly node: string },
  target: { readonly node: string },
  cause: LariatError,
) =>
  lariatError(
    'LEG_UNREACHABLE',
    `Node '${source.node}' does not reach the new replica on node '${target.node}': ${cause.message}`,
    { ...cause.details, node: target.node },
    cause,
  );

async function copySnapshot(
  deps: RebuildDeps,
  context: RebuildContext,
  snapshot: SnapshotRecord,
  before: number,
  image: string | null,
): Promise<number> {
  const { volume } = context.input;
  const source = remembered(context.memory.source, 'source');
  const target = remembered(context.memory.target, 'target');
  // What stands on another snapshot stands on the image by that.
  const standsOn = snapshot.parent === null ? image : null;
  const key = standsOn === null ? snapshot.id : `${snapshot.id}/${standsOn}`;
  const onTarget = { replica: target.id, volume };
  const mibPerSecond = await nextPieceLimit(deps, context);
  const scratch = await commandWhileLive(
    context,
    target.node,
    'rebuild.create-scratch',
    {
      ...onTarget,
      disk: target.disk,
      // As large as the chain's newest: set_parent wants equal sizes.
      sizeBytes: snapshot.sizeBytes,
      parent: snapshot.parent,
      image: standsOn,
      hostNqn: nodeHostNqn(source.node),
      mibPerSecond,
    },
    { key, timeoutMs: 30_000 },
  );
  const stopReporting = followProgress(context, ({ done, total, unit }) =>
    context.progress(before + done, before + total, unit),
  );
  try {
    const { id, parent } = snapshot;
    const input = { replica: source.id, volume, snapshot: id, parent, image: standsOn, scratch };
    const copy = context.command(source.node, 'rebuild.copy-snapshot', input, { key });
    // Between two disks of one node there is no path to cut: the target would write on to a scratch that is to go.
    const wanted = source.node === target.node ? copy : whileWanted(context, copy);
    const { copiedClusters } = await whileNodesLive(context, [source.node, target.node], wanted);
    await commandWhileLive(
      context,
      source.node,
      'rebuild.detach-scratch',
      { replica: source.id, volume, scratchNqn: scratch.nqn },
      { key, timeoutMs: 30_000 },
    );
    await commandWhileLive(
      context,
      target.node,
      'rebuild.freeze-scratch',
      { ...onTarget, snapshot: snapshot.id },
      { key, timeoutMs: 30_000 },
    );
    return copiedClusters;
  } catch (error) {
    if (hasCode(error, 'DISK_FULL')) throw fullAt(target, error);
    throw isOfPath(error, scratch.nqn) ? outOfReach(source, target, error) : error;
  } finally {
    stopReporting();
  }
}

/** Step (e): the new head goes onto the copied chain, and the source is let go. */
export function settleStep(): RebuildStep {
  return {
    name: 'settle',
    waitsFor: (_input, memory) =>
      `the new replica on ${memory.target?.node ?? '?'} to stand on its own copy`,
    timeoutMs: 60_000,
    retry: { ...RETRY_BRIEFLY, attempts: 10 },
    run: async (context) => {
      const { volume } = context.input;
      const source = remembered(context.memory.source, 'source');
      const target = remembered(context.memory.target, 'target');
      const snapshot = joinSnapshotId(context);
      await commandWhileLive(
        context,
        target.node,
        'rebuild.finish',
        { replica: target.id, volume, snapshot },
        { key: target.id },
      );
      // The target needs the source no more: one that is gone now must not cost the new replica.
      const input = { replica: source.id, volume, snapshot };
      await cleanUp(context, source.node, 'rebuild.unexport-snapshot', input, source.id);
    },
  };
}
