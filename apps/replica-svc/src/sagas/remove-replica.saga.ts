import { type VolumeRecord, type VolumeView, lariatError, toVolumeView } from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import { RETRY_BRIEFLY, RETRY_UNTIL_DONE, type SagaDefinition, cleanUp } from '@lariat/saga';
import { changeVolume, claimVolume, releaseVolume } from './hold-volume.js';
import type { RebuildDeps } from './rebuild-memory.js';

export interface RemoveReplicaInput {
  readonly volume: string;
  readonly replica: string;
}

interface RemoveReplicaMemory {
  readonly node: string;
  readonly engine: { readonly node: string; readonly epoch: number } | null;
  readonly view: VolumeView;
}

/** Takes a replica away; the record forgets it first, so that nothing counts on it. Never the last healthy one. */
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
          if (replica === undefined) return { node: '', engine: null };
          assertNotLast(record, input.replica);
          const { attachment } = record;
          return {
            node: replica.node,
            engine: attachment === null ? null : { node: attachment.node, epoch: attachment.epoch },
          };
        },
        undo: async (context) => {
          await releaseVolume(context);
        },
      },
      {
        // First: from the moment that the engine lets go of it, it misses what is acknowledged (invariant 4).
        name: 'leave-set',
        waitsFor: 'the record to be changed',
        timeoutMs: 10_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { engine = null } = context.memory;
          const { replica } = context.input;
          if (engine === null) return;
          const atMs = deps.clock.nowMs();
          const reason = 'it is being removed';
          await changeVolume(context, [{ type: 'fault-replica', replica, reason, atMs }]);
        },
      },
      {
        name: 'leave-engine',
        waitsFor: (_input, memory) =>
          `the engine on ${memory.engine?.node ?? 'no node'} to drop the leg`,
        timeoutMs: 20_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { engine = null } = context.memory;
          const { volume, replica } = context.input;
          if (engine === null) return;
          await context.command(
            engine.node,
            'engine.remove-leg',
            { volume, epoch: engine.epoch, replica },
            { key: replica },
          );
        },
      },
      {
        name: 'forget',
        waitsFor: 'the record to be changed',
        timeoutMs: 10_000,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          await changeVolume(context, [{ type: 'drop-replica', replica: context.input.replica }]);
        },
      },
      {
        name: 'delete',
        waitsFor: (_input, memory) => `the replica to go on ${memory.node ?? '?'}`,
        timeoutMs: 20_000,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          const { volume, replica } = context.input;
          const { node = '' } = context.memory;
          if (node !== '') {
            await cleanUp(context, node, 'replica.delete', { replica, volume }, replica);
          }
          await deps.allocator.release([replica]);
          return { view: toVolumeView(await releaseVolume(context)) };
        },
      },
    ],
    result: (_input, { view }) => (view ?? null) as Json,
  };
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
