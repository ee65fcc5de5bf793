import { STALE_HEAD } from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { RETRY_BRIEFLY, attemptWhileLive, whileNodesLive, whileWanted } from '@lariat/saga';
import { type ResyncPlan, comparable, planResync } from '../domain/plan-resync.js';
import { findVolume } from './find-volume.js';
import { nextPieceLimit } from './rebuild-control.js';
import {
  type RebuildContext,
  type RebuildDeps,
  type RebuildStep,
  isReuse,
  joinSnapshotId,
  remembered,
} from './rebuild-memory.js';

/** Longer than the old engine of a node that has just come back takes to be stopped by itself. */
const RETIRE_TIMEOUT_MS = 30_000;
/** A whole volume is read; what ends it early is a node that is declared gone. */
const MATCH_TIMEOUT_MS = 24 * 3_600_000;

/**
 * Asks a lost replica that is back what it still has. Nobody can write to it from then on. One that can't be asked,
 * or that the volume has outgrown, is replaced elsewhere, as if it were still away.
 */
export function reuseStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'reuse',
    waitsFor: (_input, memory) =>
      `the lost replica on ${memory.returning?.node ?? 'no node'} to say what it has`,
    timeoutMs: 2 * RETIRE_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { returning = null, sizeBytes } = context.memory;
      if (returning === null) return { held: null };
      try {
        await deps.allocator.grow([returning.id], remembered(sizeBytes, 'sizeBytes'));
      } catch (reason) {
        return notReused(context, reason);
      }
      const input = { replica: returning.id, volume: context.input.volume };
      const outcome = await attemptWhileLive(
        context,
        returning.node,
        'rebuild.retire-head',
        input,
        returning.id,
        RETIRE_TIMEOUT_MS,
      );
      if (!outcome.ok) return notReused(context, outcome.error);
      return { held: outcome.output.snapshots };
    },
  };
}

function notReused(context: RebuildContext, reason: unknown): { held: null } {
  const { code, message } = toLariatError(reason);
  const { returning = null } = context.memory;
  context.log.warn('a lost replica is not reused', {
    operation: context.operation,
    volume: context.input.volume,
    replica: returning?.id ?? null,
    code,
    reason: message,
  });
  return { held: null };
}

/** Compares the snapshots that both sides have by digests, and deletes what the replica has of no use. */
export function matchStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'match',
    waitsFor: (_input, memory) =>
      `snapshots on ${memory.source?.node ?? '?'} and ${memory.target?.node ?? '?'} to be compared`,
    timeoutMs: MATCH_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      if (!isReuse(context.memory)) return;
      const source = remembered(context.memory.source, 'source');
      const target = remembered(context.memory.target, 'target');
      const { volume } = context.input;
      // An earlier run has begun to delete by its plan: what it compared may be gone.
      const plan = context.memory.plan ?? (await compare(deps, context));
      await context.checkpoint({ plan });
      const keep = plan.patch === null ? plan.keep : [...plan.keep, STALE_HEAD];
      await context.command(
        target.node,
        'rebuild.prune-snapshots',
        { replica: target.id, volume, keep },
        { key: target.id, timeoutMs: RETIRE_TIMEOUT_MS },
      );
      context.log.info('a lost replica is reused', {
        operation: context.operation,
        volume,
        replica: target.id,
        source: source.id,
        kept: [...plan.keep],
        patched: plan.patch,
      });
    },
  };
}

async function compare(deps: RebuildDeps, context: RebuildContext): Promise<ResyncPlan> {
  const { held = null } = context.memory;
  const { volume } = context.input;
  const record = await findVolume(deps, volume);
  const same = new Set<string>();
  for (const snapshot of comparable(record.snapshots, held ?? [])) {
    await nextPieceLimit(deps, context);
    if (await whileWanted(context, isSame(context, snapshot))) same.add(snapshot);
  }
  return planResync(record.snapshots, joinSnapshotId(context), held ?? [], same);
}

async function isSame(context: RebuildContext, snapshot: string): Promise<boolean> {
  const source = remembered(context.memory.source, 'source');
  const target = remembered(context.memory.target, 'target');
  const { volume } = context.input;
  const key = snapshot;
  // A crash is what may have cost the returning disk something; the source's disk is the one that is read from anyway.
  const [theirs, ours] = await whileNodesLive(
    context,
    [source.node, target.node],
    Promise.all([
      context.command(
        source.node,
        'rebuild.digest-snapshot',
        { replica: source.id, volume, snapshot, verified: false },
        { key: `source/${key}` },
      ),
      context.command(
        target.node,
        'rebuild.digest-snapshot',
        { replica: target.id, volume, snapshot, verified: true },
        { key: `target/${key}` },
      ),
    ]),
  );
  return theirs.sha256 === ours.sha256 && theirs.sizeBytes === ours.sizeBytes;
}
