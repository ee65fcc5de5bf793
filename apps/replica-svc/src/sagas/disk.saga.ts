import {
  type DiskRecord,
  type NodeRecord,
  diskSettingsOf,
  hasCode,
  lariatError,
} from '@lariat/contracts';
import { type Json, toLariatError } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  cleanUp,
  commandWhileLive,
} from '@lariat/saga';
import { toDiskView } from '../domain/node-view.js';
import { type EvacuationMemory, assertEmptied, evacuationSteps, reportOn } from './evacuate.js';
import type { RebuildDeps } from './rebuild-memory.js';

export interface AddDiskInput {
  readonly node: string;
  readonly disk: string;
  readonly name: string;
  readonly path: string;
  readonly tags: readonly string[];
  readonly sizeBytes: number | null;
  readonly erase?: boolean;
}

export interface RemoveDiskInput {
  readonly node: string;
  readonly disk: string;
  /** What it was, for the answer. */
  readonly removed: Json;
  /** What it holds is moved to other disks first. */
  readonly evacuate?: boolean;
}

interface RemoveDiskMemory extends EvacuationMemory {
  /** It took new replicas before. */
  readonly wasOpen: boolean;
}

interface AddDiskMemory {
  readonly record: DiskRecord;
}

export function addDiskSaga(deps: RebuildDeps): SagaDefinition<AddDiskInput, AddDiskMemory> {
  return {
    kind: 'disk.add',
    subjectOf: (input) => `disk/${input.node}/${input.path}`,
    steps: [
      {
        name: 'prepare',
        waitsFor: (input) => `the disk on ${input.node}`,
        timeoutMs: 60_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { node, ...input } = context.input;
          const options = { key: input.disk };
          try {
            return { record: await commandWhileLive(context, node, 'disk.add', input, options) };
          } catch (reason) {
            throw ownedBy(deps.nodes.list(), reason);
          }
        },
        undo: async (context) => {
          const { node, disk } = context.input;
          // A node that is gone is not waited for: when it returns it tells of the disk by itself.
          await cleanUp(context, node, 'disk.remove', { disk }, disk);
        },
      },
      {
        name: 'record',
        waitsFor: 'the disk to be recorded',
        timeoutMs: 10_000,
        retry: RETRY_UNTIL_DONE,
        run: async ({ input, memory }) => {
          if (memory.record !== undefined) await deps.nodes.putDisk(input.node, memory.record);
        },
      },
    ],
    result: (input, { record }) =>
      record === undefined
        ? null
        : ({
            ...toDiskView({ name: input.node }, record, {
              scheduledBytes: 0,
              replicas: 0,
              images: 0,
            }),
          } as Json),
  };
}

/** Takes an empty disk away, or one that is emptied first: what has been moved by then stays where it is. */
export function removeDiskSaga(
  deps: RebuildDeps,
): SagaDefinition<RemoveDiskInput, RemoveDiskMemory> {
  return {
    kind: 'disk.remove',
    subjectOf: (input) => `disk/${input.node}/${input.disk}`,
    steps: [
      {
        name: 'close',
        waitsFor: 'the disk to be cordoned',
        timeoutMs: 10_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { node, disk, evacuate = false } = context.input;
          if (!evacuate) return;
          const record = await deps.nodes.find(node);
          const wasOpen = context.memory.wasOpen ?? diskSettingsOf(record, disk).schedulable;
          // First: a run that finds it closed must not take that for how it was.
          await context.checkpoint({ wasOpen });
          await deps.nodes.updateDisk(node, disk, { schedulable: false });
        },
        undo: async ({ input: { node, disk }, memory }) => {
          if (memory.wasOpen !== true) return;
          try {
            await deps.nodes.updateDisk(node, disk, { schedulable: true });
          } catch (error) {
            if (!hasCode(error, 'DISK_NOT_FOUND', 'NODE_NOT_FOUND')) throw error;
          }
        },
      },
      ...evacuationSteps<RemoveDiskInput, RemoveDiskMemory>(
        deps,
        ({ node, disk, evacuate = false }) => (evacuate ? { node, disk, atOnce: 1 } : null),
      ),
      {
        // The agent itself refuses while the disk holds anything that is owned.
        name: 'release',
        waitsFor: (input) => `the disk on ${input.node}`,
        timeoutMs: 60_000,
        retry: RETRY_BRIEFLY,
        run: async (context) => {
          const { node, disk, evacuate = false } = context.input;
          const from = { node, disk };
          if (evacuate) assertEmptied(from, reportOn(deps, from, context.memory));
          assertDiskUnused(deps, disk);
          await commandWhileLive(context, node, 'disk.remove', { disk }, { key: disk });
        },
      },
      {
        name: 'forget',
        waitsFor: 'the record to be changed',
        timeoutMs: 10_000,
        retry: RETRY_UNTIL_DONE,
        run: async ({ input }) => {
          await deps.nodes.dropDisk(input.node, input.disk);
          await deps.allocator.releaseImageCopies(input.disk);
        },
      },
    ],
    result: (input) => input.removed,
  };
}

/** Whose store a disk holds that was refused for it, where it is one of this cluster. */
function ownedBy(nodes: readonly NodeRecord[], reason: unknown): unknown {
  if (!hasCode(reason, 'DISK_FOREIGN_CONTENT')) return reason;
  const { message, details = {} } = toLariatError(reason);
  const { storeUuid } = details;
  if (typeof storeUuid !== 'string') return reason;
  const [owner] = nodes.flatMap(({ name: node, disks }) =>
    disks.filter(({ lvsUuid }) => lvsUuid === storeUuid).map(({ id }) => ({ node, id })),
  );
  const whose =
    owner === undefined
      ? `No node of this cluster has store ${storeUuid}: it is another cluster's, or that of a disk which was removed`
      : `It is the store of disk ${owner.id} of node '${owner.node}' of this cluster`;
  return lariatError(
    'DISK_FOREIGN_CONTENT',
    `${message}. ${whose}.`,
    { ...details, owner: owner?.node ?? null },
    reason,
  );
}

export function assertDiskUnused(deps: Pick<RebuildDeps, 'allocator'>, disk: string): void {
  const replicas = deps.allocator.replicasOn(disk);
  if (replicas.length > 0) {
    throw lariatError(
      'DISK_IN_USE',
      `Disk ${disk} holds ${replicas.length} replica(s): ${replicas.slice(0, 10).join(', ')}. Move or delete them first, or let 'evacuate' do so (lariat disk remove --evacuate).`,
      { disk, replicas },
    );
  }
}
