import {
  DEFAULT_PLACEMENT,
  type VolumeRecord,
  lariatError,
  toVolumeView,
  zoneOf,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  RETRY_UNTIL_KNOWN,
  type SagaDefinition,
  cleanUp,
} from '@lariat/saga';
import { chooseRebuild } from '../domain/choose-rebuild.js';
import { copyStep, settleStep } from './rebuild-copy.js';
import { dropJoinSnapshot, joinStep } from './rebuild-join.js';
import { changeVolume, claimVolume, releaseVolume } from './hold-volume.js';
import {
  type RebuildContext,
  type RebuildDeps,
  type RebuildInput,
  type RebuildMemory,
  type RebuildStep,
  remembered,
  targetId,
} from './rebuild-memory.js';

const RECORD_TIMEOUT_MS = 10_000;
const CLEAN_TIMEOUT_MS = 30_000;

/** Makes a new replica from a healthy one while the volume is in use (design section 5). */
export function rebuildReplicaSaga(deps: RebuildDeps): SagaDefinition<RebuildInput, RebuildMemory> {
  return {
    kind: 'replica.rebuild',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      claimStep(deps),
      placeStep(deps),
      joinStep(deps),
      copyStep(deps),
      settleStep(),
      syncStep(),
      cleanStep(deps),
    ],
    result: (_input, memory) => (memory.view ?? null) as unknown as Json,
  };
}

function claimStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'claim',
    waitsFor: 'the volume to be free',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const record = await claimVolume(context);
      if (record.state !== 'attached' && record.state !== 'detached') throw notNow(record);
      const nodes = deps.nodes.list();
      const zones = new Map(nodes.map((node) => [node.name, zoneOf(node)]));
      const ready = new Set(nodes.filter(({ state }) => state === 'ready').map(({ name }) => name));
      const choice = chooseRebuild(record, context.input.replica ?? undefined, (node) =>
        ready.has(node),
      );
      const { attachment, sizeBytes } = record;
      return {
        replaced: choice.replaced === null ? null : placeOf(choice.replaced),
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

const placeOf = ({
  id,
  node,
  disk,
}: {
  id: string;
  node: string;
  disk: string;
}): RebuildMemory['source'] => ({ id, node, disk });

function placeStep(deps: RebuildDeps): RebuildStep {
  return {
    name: 'place',
    waitsFor: 'a disk for the new replica',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async (context) => {
      const replica = targetId(context.operation);
      const { sizeBytes, others, placement: policy, replaced = null } = context.memory;
      const placements = await deps.allocator.reserve({
        volume: context.input.volume,
        replicas: [replica],
        sizeBytes: remembered(sizeBytes, 'sizeBytes'),
        excludeNodes: [],
        placement: remembered(policy, 'placement'),
        others: remembered(others, 'others'),
        // The failed one's node only when there is no other.
        avoidNodes: replaced === null ? [] : [replaced.node],
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
            mode: 'WO',
            state: 'rebuilding',
            lvolUuid: null,
            reason: null,
            faultedAtMs: null,
          },
        },
      ]);
      return { target: { id: replica, node, disk } };
    },
    undo: async (context) => {
      const replica = targetId(context.operation);
      await changeVolume(context, [{ type: 'drop-replica', replica }]);
      await deps.allocator.release([replica]);
    },
  };
}

/** In the same write the new one enters the in-sync set and the failed one leaves the volume. */
function syncStep(): RebuildStep {
  return {
    name: 'sync',
    waitsFor: 'the new replica to be recorded as in sync',
    timeoutMs: RECORD_TIMEOUT_MS,
    retry: RETRY_UNTIL_KNOWN,
    run: async (context) => {
      const { replaced = null } = context.memory;
      const target = remembered(context.memory.target, 'target');
      await changeVolume(context, [
        { type: 'sync-replica', replica: target.id },
        ...(replaced === null ? [] : [{ type: 'drop-replica' as const, replica: replaced.id }]),
      ]);
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

async function dropReplaced(deps: RebuildDeps, context: RebuildContext): Promise<void> {
  const { replaced = null } = context.memory;
  if (replaced === null) return;
  const input = { replica: replaced.id, volume: context.input.volume };
  await cleanUp(context, replaced.node, 'replica.delete', input, replaced.id);
  await deps.allocator.release([replaced.id]);
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
