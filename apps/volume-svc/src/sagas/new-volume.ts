import {
  type Placement,
  type PlacementPolicy,
  type ReplicaRecord,
  type VolumeChange,
  type VolumeContent,
  type VolumeQos,
  type VolumeRecord,
  type VolumeSource,
  lariatError,
} from '@lariat/contracts';
import { deriveReplicaId, deriveUuid, deriveVolumeId } from '@lariat/kernel';
import { RETRY_BRIEFLY, RETRY_UNTIL_DONE, type SagaStep, type StepContext } from '@lariat/saga';
import { type SagaDeps, rememberVolume } from './saga-deps.js';

/** What every way of making a volume is told. */
export interface NewVolumeInput {
  readonly name: string;
  readonly sizeBytes: number;
  readonly replicas: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly placement: PlacementPolicy;
  readonly qos: VolumeQos | null;
}

export interface NewVolumeMemory {
  readonly placements: readonly Placement[];
  readonly lvolUuids: Readonly<Record<string, string>>;
}

type Context = StepContext<NewVolumeInput, NewVolumeMemory>;

/** What a new volume has of the one that it is made from. */
export interface Origin {
  readonly source: VolumeSource;
  readonly content: VolumeContent;
  /** Where a replica of it is: a place as good as others is taken there. */
  readonly disks: readonly string[];
}

const PLACE_TIMEOUT_MS = 10_000;

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
  input: NewVolumeInput,
  placements: readonly Placement[],
  nowMs: number,
  origin: Origin | undefined,
): VolumeRecord {
  return {
    id: deriveVolumeId(operation),
    name: input.name,
    sizeBytes: input.sizeBytes,
    replicaCount: input.replicas,
    state: 'creating',
    content: origin?.content ?? { state: 'blank' },
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
    ...(input.qos === null ? {} : { qos: input.qos }),
    ...(origin === undefined ? {} : { source: origin.source }),
    operation,
  };
}

/** Takes the name for the volume to be. */
export function reserveNameStep<Input extends NewVolumeInput, Memory>({
  volumes,
}: SagaDeps): SagaStep<Input, Memory> {
  return {
    name: 'reserve-name',
    waitsFor: 'the name to be reserved',
    timeoutMs: PLACE_TIMEOUT_MS,
    retry: RETRY_BRIEFLY,
    run: async ({ operation, input }) => {
      const volume = deriveVolumeId(operation);
      const holder = await volumes.names.reserve(input.name, volume);
      if (holder !== volume) throw nameTaken(input.name, holder);
    },
    undo: ({ operation, input }) => volumes.names.release(input.name, deriveVolumeId(operation)),
  };
}

/** Places the replicas. The record, with them, is there before a node is told to make one (invariant 1). */
export async function placeNewVolume(
  { volumes, clock }: SagaDeps,
  { operation, input, client, actor }: Context,
  origin?: Origin,
): Promise<readonly Placement[]> {
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
    ...(origin === undefined ? {} : { preferDisks: [...origin.disks] }),
  });
  const fresh = newRecord(operation, input, placements, clock.nowMs(), origin);
  const record = await volumes.create(fresh, actor);
  // Those on record: an earlier run of this step may have made it before its answer was lost.
  return record.replicas.map(placementOf);
}

export async function unplaceNewVolume(
  { volumes }: SagaDeps,
  { operation, input, client, actor }: Context,
): Promise<void> {
  await volumes.remove(deriveVolumeId(operation), 'create-undone', actor);
  await client.request('internal.placement.release', {
    replicas: replicaIds(operation, input.replicas),
  });
}

/** The last step of making a volume: it is there. */
export function finishNewStep<Input extends NewVolumeInput, Memory extends NewVolumeMemory>({
  volumes,
}: SagaDeps): SagaStep<Input, Memory> {
  return {
    name: 'finish',
    waitsFor: 'the outcome to be recorded',
    timeoutMs: PLACE_TIMEOUT_MS,
    retry: RETRY_UNTIL_DONE,
    run: async ({ operation, memory, actor }) => {
      const record = await volumes.change(
        deriveVolumeId(operation),
        operation,
        (current) => (current.operation === operation ? finished(operation, memory) : []),
        actor,
      );
      await volumes.tell(record);
      return rememberVolume<Memory>(record);
    },
  };
}

function finished(operation: string, memory: Readonly<Partial<NewVolumeMemory>>): VolumeChange[] {
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
