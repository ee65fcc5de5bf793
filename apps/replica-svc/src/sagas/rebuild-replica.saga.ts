import {
  DEFAULT_PLACEMENT,
  type RebuiltVolumeView,
  type VolumeRecord,
  hasCode,
  isAtRest,
  lariatError,
  toVolumeView,
  zoneOf,
} from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES, type Json, delay } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  RETRY_UNTIL_KNOWN,
  type SagaDefinition,
} from '@lariat/saga';
import { chooseMove, chooseRebuild } from '../domain/choose-rebuild.js';
import { requireGate } from '../domain/held-writes.js';
import { isBackOn, isReadyAmong, untilKnownMs } from '../domain/returned.js';
import { countAgain, dropReplaced, leavingOf } from './drop-replaced.js';
import { copyStep, settleStep } from './rebuild-copy.js';
import { fetchImageStep, imageToStandOn } from './rebuild-image.js';
import { dropJoinSnapshot, joinStep } from './rebuild-join.js';
import { matchStep, reuseStep } from './rebuild-match.js';
import {
  changeVolume,
  changeWhileLive,
  claimVolume,
  releaseVolume,
  settleVolume,
} from './hold-volume.js';
import {
  type RebuildContext,
  type RebuildDeps,
  type RebuildInput,
  type RebuildMemory,
  type RebuildStep,
  isReuse,
  remembered,
  targetId,
} from './rebuild-memory.js';

const RECORD_TIMEOUT_MS = 10_000;
/** With the wait until a return is known. */
const CLAIM_TIMEOUT_MS = 25_000;
const LOOK_EVERY_MS = 250;
const CLEAN_TIMEOUT_MS = 30_000;

/**
 * Brings a volume's redundancy back while it is in use (design section 5): makes a new replica from a healthy one, or
 * brings a lost one that is back up to date (docs/adr/0012).
 */
export const rebuildReplicaSaga = (
  deps: RebuildDeps,
): SagaDefinition<RebuildInput, RebuildMemory> => newReplicaSaga(deps, 'replica.rebuild');

/** Makes a new replica on another disk, and only then takes the old one away: add, then remove. */
export const moveReplicaSaga = (deps: RebuildDeps): SagaDefinition<RebuildInput, RebuildMemory> =>
  newReplicaSaga(deps, 'replica.move');

function newReplicaSaga(
  deps: RebuildDeps,
  kind: string,
): SagaDefinition<RebuildInput, RebuildMemory> {
  return {
    kind,
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claimStep(deps),
      reuseStep(deps),
      placeStep(deps),
      joinStep(deps),
      matchStep(deps),
      fetchImageStep(deps),
      copyStep(deps),
      settleStep(),
      syncStep(deps),
      cleanStep(deps),
    ],
    result: (_input, memory) => resultOf(memory) as unknown as Json,
  };
}

function resultOf(memory: RebuildContext['memory']): RebuiltVolumeView | null {
  const { view, target, plan, copiedClusters = 0 } = memory;
  if (view === undefined || target === undefined) return null;
  const rebuilt = {
    replica: target.id,
    node: target.node,
    reused: isReuse(memory),
    keptSnapshots: plan?.keep.length ?? 0,
    copiedBytes: copiedClusters * CLUSTER_SIZE_BYTES,
  };
  return { ...view, rebuilt };
}

function claimStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'claim',
    waitsFor: 'the volume to be free, and to know whether a lost replica is back',
    timeoutMs: CLAIM_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      await returnsKnown(deps, context);
      const record = await claimVolume(context);
      if (!isAtRest(record)) throw notNow(record);
      const nodes = deps.nodes.list();
      requireGate(record, nodes);
      const zones = new Map(nodes.map((node) => [node.name, zoneOf(node)]));
      const { replica, toDisks } = context.input;
      const isReady = isReadyAmong(nodes);
      const isBack =
        context.input.reuse === false ? () => false : isBackOn(nodes, deps.clock.nowMs());
      const choice =
        toDisks !== undefined && replica !== null
          ? chooseMove(record, replica, isReady)
          : chooseRebuild(record, replica ?? undefined, isReady, isBack);
      const { attachment, sizeBytes } = record;
      return {
        replaced: choice.replaced === null ? null : placeOf(choice.replaced),
        returning: choice.isBack ? choice.replaced : null,
        source: placeOf(choice.source),
        others: choice.others.map(({ node, disk }) => ({
          node,
          disk,
          zone: zones.get(node) ?? null,
        })),
        placement: record.placement ?? DEFAULT_PLACEMENT,
        sizeBytes,
        engine: attachment === null ? null : { node: attachment.node, epoch: attachment.epoch },
      };
    },
    undo: async (context) => {
      await releaseVolume(context);
    },
  };
}

/** A rebuild that is asked for at once does not make elsewhere what is about to be back: it waits until that is known. */
async function returnsKnown(deps: RebuildDeps, { input }: RebuildContext): Promise<void> {
  if (input.reuse === false) return;
  const record = await deps.volumes.fresh(input.volume);
  const lost = (record?.replicas ?? []).filter(
    ({ id, mode }) => mode === 'ERR' && (input.replica === null || input.replica === id),
  );
  for (;;) {
    const nodes = deps.nodes.list();
    const nowMs = deps.clock.nowMs();
    const waitMs = Math.max(0, ...lost.map((replica) => untilKnownMs(nodes, nowMs, replica)));
    if (waitMs === 0) return;
    await delay(Math.min(waitMs, LOOK_EVERY_MS));
  }
}

const placeOf = ({
  id,
  node,
  disk,
}: {
  id: string;
  node: string;
  disk: string;
}): RebuildMemory['source'] => ({ id, node, disk });

const REBUILDING = { mode: 'WO', state: 'rebuilding' } as const;

function placeStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'place',
    waitsFor: 'a disk for the new replica',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const { sizeBytes, others, placement: policy, replaced = null } = context.memory;
      if (isReuse(context.memory)) {
        const returning = remembered(context.memory.returning ?? undefined, 'returning');
        const { reuseFailures: _past, ...same } = returning;
        const replica = { ...same, ...REBUILDING, reason: null, faultedAtMs: null };
        await changeVolume(context, [{ type: 'put-replica', replica }]);
        return { target: placeOf(returning) };
      }
      const replica = targetId(context.operation);
      const image = await imageToStandOn(deps, context);
      const placements = await deps.allocator.reserve({
        volume: context.input.volume,
        replicas: [replica],
        sizeBytes: remembered(sizeBytes, 'sizeBytes'),
        excludeNodes: [],
        placement: remembered(policy, 'placement'),
        others: remembered(others, 'others'),
        suspects: 'never',
        // The failed one's node only when there is no other.
        avoidNodes: replaced === null ? [] : [replaced.node],
        ...(context.input.toDisks === undefined ? {} : { onlyDisks: context.input.toDisks }),
        ...(image === undefined ? {} : { image }),
      });
      const [placement] = placements;
      if (placement === undefined) throw new Error('placement gave no place');
      const { node, disk } = placement;
      await changeVolume(context, [
        {
          type: 'put-replica',
          replica: {
            id: replica,
            node,
            disk,
            ...REBUILDING,
            lvolUuid: null,
            reason: null,
            faultedAtMs: null,
          },
        },
      ]);
      return { target: { id: replica, node, disk } };
    },
    undo: async (context) => {
      const { returning = null } = context.memory;
      if (isReuse(context.memory) && returning !== null) {
        // Ended by an operator's wish: that says nothing of what the replica has.
        const isCancelled = context.undoneFor?.code === 'OPERATION_CANCELLED';
        const reuseFailures = (returning.reuseFailures ?? 0) + (isCancelled ? 0 : 1);
        const replica = { ...returning, ...(reuseFailures === 0 ? {} : { reuseFailures }) };
        await settleVolume(context, [{ type: 'put-replica', replica }]);
        return;
      }
      // A failed one, that a later rebuild takes the place of.
      if (context.memory.stays === true) return;
      const replica = targetId(context.operation);
      await settleVolume(context, [{ type: 'drop-replica', replica }]);
      await deps.allocator.release([replica]);
    },
  };
}

/**
 * In the same write the new one enters the in-sync set and the one that it replaces leaves it. When all nodes that could
 * keep that beside their replicas are declared gone it is on record all the same, and nothing acts on it yet: the
 * replaced one is a leg until the clean-up has seen the change kept.
 */
function syncStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'sync',
    waitsFor: 'the new replica to be recorded as in sync',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_UNTIL_KNOWN,
    run: async (context) => {
      const leaving = leavingOf(context.memory);
      const target = remembered(context.memory.target, 'target');
      try {
        await changeWhileLive(context, [
          { type: 'sync-replica', replica: target.id },
          ...(leaving === null ? [] : [{ type: 'retire-replica' as const, replica: leaving.id }]),
        ]);
      } catch (error) {
        if (!hasCode(error, 'VOLUME_FAULTED')) throw error;
        const { operation } = context;
        context.log.warn('in sync, and no node is left to keep that', { operation });
      }
    },
    // The new one was lost before it was known to count: the one that it was to replace is a leg still.
    undo: async (context) => {
      const leaving = leavingOf(context.memory);
      if (leaving !== null) await countAgain(deps, context, leaving.id);
    },
  };
}

function cleanStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'clean',
    waitsFor: 'what the rebuild leaves behind to go',
    timeoutMs: CLEAN_TIMEOUT_MS,
    retry: RETRY_UNTIL_DONE,
    run: async (context) => {
      const record = await deps.volumes.fresh(context.input.volume);
      // Ended by an earlier run whose own journal entry was lost.
      if (record?.operation !== context.operation)
        return record === undefined ? undefined : { view: toVolumeView(record) };
      await dropJoinSnapshot(context, record);
      await dropReplaced(deps, context);
      return {
        view: toVolumeView(await releaseVolume(context)),
      };
    },
  };
}

function notNow(record: VolumeRecord): Error {
  return lariatError(
    'VOLUME_BUSY',
    `Volume '${record.name}' is ${record.state}: rebuild it when it is attached or detached.`,
    {
      volume: record.id,
      state: record.state,
    },
  );
}
