import {
  type ReplicaRecord,
  type VolumeRecord,
  type VolumeView,
  lariatError,
  toVolumeView,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  RETRY_UNTIL_KNOWN,
  type SagaDefinition,
} from '@lariat/saga';
import { changeWhileLive, claimVolume, releaseVolume, settleVolume } from './hold-volume.js';
import { leaveEngine } from './leave-engine.js';
import type { RebuildDeps } from './rebuild-memory.js';
import { takeAway } from './take-away.js';

export interface RemoveReplicaInput {
  readonly volume: string;
  readonly replica: string;
}

interface RemoveReplicaMemory {
  readonly node: string;
  /** What the record had of it. */
  readonly removed: ReplicaRecord | null;
  /** The engine has refused: it has no other leg. */
  readonly stays: boolean;
  /** The engine was told to go on without it, and nobody knows whether it does. */
  readonly mayHaveLeft: boolean;
  readonly engine: { readonly node: string; readonly epoch: number } | null;
  readonly view: VolumeView;
}

/** Takes a replica away; nothing counts on it first, and the record forgets it when its engine has let go. Never the last healthy one. */
export function removeReplicaSaga(
  deps: RebuildDeps,
): SagaDefinition<RemoveReplicaInput, RemoveReplicaMemory> {
  return {
    kind: 'replica.remove',
    subjectOf: (input) => `volume/${input.volume}`,
    steps: [
      {
        name: 'claim',
        waitsFor: 'the volume to be free',
        timeoutMs: 10_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { input } = context;
          const record = await claimVolume(context);
          const replica = record.replicas.find(({ id }) => id === input.replica);
          if (replica === undefined) return { node: '', engine: null, removed: null };
          assertNotLast(record, input.replica);
          const { attachment } = record;
          return {
            node: replica.node,
            removed: replica,
            engine: attachment === null ? null : { node: attachment.node, epoch: attachment.epoch },
          };
        },
        undo: async (context) => {
          await releaseVolume(context);
        },
      },
      {
        name: 'forget',
        waitsFor: 'the record to be changed',
        timeoutMs: 10_000,
        retry: RETRY_UNTIL_KNOWN,
        run: async (context) => {
          await changeWhileLive(context, [
            { type: 'retire-replica', replica: context.input.replica },
          ]);
        },
        undo: async (context) => {
          const { removed = null, mayHaveLeft = false } = context.memory;
          if (removed === null) return;
          const record = await deps.volumes.fresh(context.input.volume);
          const now = record?.replicas.find(({ id }) => id === removed.id);
          // It counts still: it has become the last one, which is never retired.
          if (now?.mode === 'RW') return;
          const counted = removed.mode === 'RW';
          // One that never left its engine has missed nothing, unless it was lost since. Of any other that is not known.
          if (counted && now !== undefined && !mayHaveLeft) {
            if (now.mode !== 'ERR')
              await settleVolume(context, [{ type: 'sync-replica', replica: removed.id }]);
            return;
          }
          const replica: ReplicaRecord =
            counted || mayHaveLeft
              ? {
                  ...removed,
                  mode: 'ERR',
                  state: 'faulted',
                  reason: 'its removal was given up half way',
                  faultedAtMs: deps.clock.nowMs(),
                }
              : removed;
          await settleVolume(context, [{ type: 'put-replica', replica }]);
        },
      },
      {
        name: 'leave-engine',
        waitsFor: (_input, memory) =>
          `the engine on ${memory.engine?.node ?? 'no node'} to drop the leg`,
        timeoutMs: 20_000,
        // What came of it must be known: a leg that has left may never count again.
        retry: RETRY_UNTIL_KNOWN,
        run: async (context) => {
          const { engine = null } = context.memory;
          const { replica } = context.input;
          if (engine !== null && !(await leaveEngine(context, engine, replica))) {
            await context.checkpoint({ stays: true });
            throw lastLeg(context.input);
          }
          await changeWhileLive(context, [{ type: 'drop-replica', replica }]);
        },
        undo: async (context) => {
          const { engine = null, stays = false } = context.memory;
          if (engine !== null && !stays) await context.checkpoint({ mayHaveLeft: true });
        },
      },
      {
        name: 'delete',
        waitsFor: (_input, memory) => `the replica to go on ${memory.node ?? '?'}`,
        timeoutMs: 20_000,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          const { replica } = context.input;
          const { node = '' } = context.memory;
          if (node !== '') await takeAway(deps, context, 'replica.delete', { id: replica, node });
          await deps.allocator.release([replica]);
          return { view: toVolumeView(await releaseVolume(context)) };
        },
      },
    ],
    result: (_input, { view }) => (view ?? null) as Json,
  };
}

function lastLeg({ volume, replica }: RemoveReplicaInput): Error {
  return lariatError(
    'LAST_REPLICA',
    `Replica ${replica} is the last leg of the running engine: it has lost the others. Rebuild one first.`,
    { volume, replica },
  );
}

/** Invariant 5. */
export function assertNotLast(record: VolumeRecord, replica: string): void {
  const inSync = record.replicas.filter(({ mode }) => mode === 'RW');
  if (inSync.length === 1 && inSync[0]?.id === replica) {
    throw lariatError(
      'LAST_REPLICA',
      `Replica ${replica} is the last healthy one of volume '${record.name}'. Rebuild another first, or delete the volume.`,
      { volume: record.id, replica },
    );
  }
}
