import {
  type Placement,
  type PlacementPolicy,
  type ReplicaRecord,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { deriveReplicaId, deriveUuid, deriveVolumeId } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
  cleanUp,
} from '@lariat/saga';
import { type SagaDeps, rememberVolume, volumeResult } from './saga-deps.js';

export interface CreateVolumeInput {
  readonly name: string;
  readonly sizeBytes: number;
  readonly replicas: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly placement: PlacementPolicy;
}

interface CreateVolumeMemory {
  readonly placements: readonly Placement[];
  readonly lvolUuids: Readonly<Record<string, string>>;
}

const PLACE_TIMEOUT_MS = 10_000;
/** An undo may find a node that does not answer; it asks once more whether the node is gone. */
const UNDO_COMMAND_TIMEOUT_MS = 5_000;

const replicaIds = (operation: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => deriveReplicaId(operation, String(index)));

function newReplica({ replica, node, disk }: Placement, lvolUuid: string | null): ReplicaRecord {
  const ready = lvolUuid !== null;
  return {
    id: replica,
    node,
    disk,
    mode: ready ? 'RW' : 'WO',
    state: ready ? 'ready' : 'creating',
    lvolUuid,
    reason: null,
    faultedAtMs: null,
  };
}

const placementOf = ({ id, node, disk }: ReplicaRecord): Placement => ({
  replica: id,
  node,
  disk,
});

function newRecord(
  operation: string,
  input: CreateVolumeInput,
  placements: readonly Placement[],
  nowMs: number,
): VolumeRecord {
  return {
    id: deriveVolumeId(operation),
    name: input.name,
    sizeBytes: input.sizeBytes,
    replicaCount: input.replicas,
    state: 'creating',
    content: { state: 'blank' },
    labels: input.labels,
    placement: input.placement,
    createdAt: new Date(nowMs).toISOString(),
    uuid: deriveUuid(operation, 'volume'),
    epoch: 0,
    clean: true,
    attachment: null,
    replicas: placements.map((placement) => newReplica(placement, null)),
    snapshots: [],
    headParent: null,
    operation,
  };
}

function finished(
  operation: string,
  memory: Readonly<Partial<CreateVolumeMemory>>,
): VolumeChange[] {
  const { placements = [], lvolUuids = {} } = memory;
  return [
    ...placements.map((placement) => ({
      type: 'put-replica' as const,
      replica: newReplica(placement, lvolUuids[placement.replica] ?? null),
    })),
    { type: 'transition', event: 'created' },
    { type: 'release', operation },
  ];
}

export function createVolumeSaga(
  deps: SagaDeps,
): SagaDefinition<CreateVolumeInput, CreateVolumeMemory> {
  const { volumes, clock } = deps;
  return {
    kind: 'volume.create',
    subjectOf: (input) => `volume-name/${input.name}`,
    steps: [
      {
        name: 'reserve-name',
        waitsFor: 'the name to be reserved',
        timeoutMs: PLACE_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async ({ operation, input }) => {
          const volume = deriveVolumeId(operation);
          const holder = await volumes.names.reserve(input.name, volume);
          if (holder !== volume) throw nameTaken(input.name, holder);
        },
        undo: ({ operation, input }) =>
          volumes.names.release(input.name, deriveVolumeId(operation)),
      },
      {
        name: 'place',
        waitsFor: 'disks to be chosen for the replicas',
        timeoutMs: PLACE_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        // The record, with the replicas to be, is there before a node is told to make one (invariant 1).
        run: async ({ operation, input, client, actor }) => {
          const { placements } = await client.request('internal.placement.reserve', {
            volume: deriveVolumeId(operation),
            replicas: replicaIds(operation, input.replicas),
            sizeBytes: input.sizeBytes,
            excludeNodes: [],
            placement: {
              ...input.placement,
              nodeTags: [...input.placement.nodeTags],
              diskTags: [...input.placement.diskTags],
            },
          });
          const fresh = newRecord(operation, input, placements, clock.nowMs());
          const record = await volumes.create(fresh, actor);
          // Those on record: an earlier run of this step may have made it before its answer was lost.
          return { placements: record.replicas.map(placementOf) };
        },
        undo: async ({ operation, input, client, actor }) => {
          await volumes.remove(deriveVolumeId(operation), 'create-undone', actor);
          await client.request('internal.placement.release', {
            replicas: replicaIds(operation, input.replicas),
          });
        },
      },
      {
        name: 'create-replicas',
        waitsFor: (_input, memory) =>
          `replicas on ${(memory.placements ?? []).map(({ node }) => node).join(', ')}`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: { ...RETRY_BRIEFLY, attempts: 2 },
        run: async (context) => {
          const volume = deriveVolumeId(context.operation);
          const { sizeBytes } = context.input;
          const made = await Promise.all(
            (context.memory.placements ?? []).map(async ({ replica, node, disk }) => {
              const input = { replica, volume, disk, sizeBytes };
              const options = { key: replica, timeoutMs: COMMAND_TIMEOUT_MS };
              const { lvolUuid } = await context.command(node, 'replica.create', input, options);
              return [replica, lvolUuid] as const;
            }),
          );
          return { lvolUuids: Object.fromEntries(made) };
        },
        undo: async (context) => {
          const volume = deriveVolumeId(context.operation);
          await Promise.all(
            (context.memory.placements ?? []).map(async ({ replica, node }) => {
              const input = { replica, volume };
              await cleanUp(
                context,
                node,
                'replica.delete',
                input,
                replica,
                UNDO_COMMAND_TIMEOUT_MS,
              );
            }),
          );
        },
      },
      {
        name: 'finish',
        waitsFor: 'the outcome to be recorded',
        timeoutMs: PLACE_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async ({ operation, memory, actor }) => {
          const record = await volumes.change(
            deriveVolumeId(operation),
            operation,
            (record) => (record.operation === operation ? finished(operation, memory) : []),
            actor,
          );
          await volumes.tell(record);
          return rememberVolume<CreateVolumeMemory>(record);
        },
      },
    ],
    result: volumeResult,
  };
}

export function nameTaken(name: string, holder: string): Error {
  return lariatError(
    'VOLUME_NAME_TAKEN',
    `A volume named '${name}' exists already; choose another name.`,
    {
      name,
      volume: holder,
    },
  );
}
