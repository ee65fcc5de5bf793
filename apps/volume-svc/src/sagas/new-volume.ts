import {
  type ImageRecord,
  type Placement,
  type PlacementPolicy,
  type RecordPosition,
  type ReplicaRecord,
  type VolumeChange,
  type VolumeContent,
  type VolumeQos,
  type VolumeRecord,
  type VolumeSource,
  hasCode,
  lariatError,
  positionOf,
} from '@lariat/contracts';
import { deriveReplicaId, deriveUuid, deriveVolumeId } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaStep,
  type StepContext,
  UNDO_COMMAND_TIMEOUT_MS,
  cleanUp,
} from '@lariat/saga';
import { staleReason } from '../domain/record-copies.js';
import { type SagaDeps, rememberVolume } from './saga-deps.js';

/** What every way of making a volume is told. */
export interface NewVolumeInput {
  readonly name: string;
  readonly sizeBytes: number;
  readonly replicas: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly placement: PlacementPolicy;
  readonly qos: VolumeQos | null;
  /** Id of the image that it is made from; missing or null: it is empty, or a clone. */
  readonly image?: string | null;
}

export interface NewVolumeMemory {
  readonly placements: readonly Placement[];
  readonly lvolUuids: Readonly<Record<string, string>>;
  /** A node that keeps a record of the volume, which none does before it is whole: the store was set back to before that. */
  readonly knownOn: string;
}

type Context = StepContext<NewVolumeInput, NewVolumeMemory>;

/** What a new volume is made from. */
export interface Origin {
  /** Null: an image alone. */
  readonly source: VolumeSource | null;
  readonly content: VolumeContent;
  /** Where a replica of the source is: a place as good as others is taken there. */
  readonly disks: readonly string[];
  /** Id of the image that its replicas stand on; null: none. */
  readonly image: string | null;
  /** What placement is to know of the image; null: nothing is known of it. */
  readonly copies: {
    readonly id: string;
    readonly disks: readonly string[];
    readonly copyBytes: number;
  } | null;
}

/** Its content is an image's: never to be formatted (invariant 9). */
export const originOf = ({ id, sizeBytes, copies }: ImageRecord): Origin => ({
  source: null,
  content: { state: 'foreign' },
  disks: [],
  image: id,
  copies: { id, disks: disksWith(copies), copyBytes: sizeBytes },
});

/** Where there is a copy of an image, or one is on its way. */
export const disksWith = (copies: ImageRecord['copies']): readonly string[] =>
  copies.flatMap(({ disk, state }) => (state === 'ready' || state === 'fetching' ? disk : []));

const PLACE_TIMEOUT_MS = 10_000;
/** Older than whatever a node may keep of a volume that was made. */
const BEFORE_ALL: RecordPosition = { generation: 0, revision: 0 };

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
    ...(origin?.source == null ? {} : { source: origin.source }),
    image: origin?.image ?? null,
    operation,
  };
}

/** Takes the name for the volume to be. */
export function reserveNameStep<Input extends NewVolumeInput, Memory extends NewVolumeMemory>({
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
    undo: async ({ operation, input, memory }) => {
      if (memory.knownOn === undefined)
        await volumes.names.release(input.name, deriveVolumeId(operation));
    },
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
    ...(origin?.copies == null
      ? {}
      : { image: { ...origin.copies, disks: [...origin.copies.disks] } }),
  });
  const fresh = newRecord(operation, input, placements, clock.nowMs(), origin);
  const record = await volumes.create(fresh, actor);
  // Those on record: an earlier run of this step may have made it before its answer was lost.
  return record.replicas.map(placementOf);
}

/**
 * Takes back the replicas of a volume that is not to be. In a store that was set back it may have been whole, and written to:
 * a node that keeps its record refuses then.
 */
export async function deleteNewReplicas(
  { volumes }: SagaDeps,
  context: StepContext<unknown, NewVolumeMemory>,
): Promise<void> {
  const volume = deriveVolumeId(context.operation);
  const found = await volumes.read(volume);
  const record = found === undefined ? BEFORE_ALL : positionOf(found.value);
  const refusing = await Promise.all(
    (context.memory.placements ?? []).map(async ({ replica, node }) => {
      const input = { replica, volume, record };
      try {
        await cleanUp(context, node, 'replica.delete', input, replica, UNDO_COMMAND_TIMEOUT_MS);
        return [];
      } catch (error) {
        if (hasCode(error, 'RECORD_STALE')) return [node];
        throw error;
      }
    }),
  );
  const [knownOn] = refusing.flat();
  if (knownOn !== undefined) await context.checkpoint({ knownOn });
}

/** Takes the record away; one of a volume that had been whole stays, in doubt, until a recovery takes the copies. */
export async function unplaceNewVolume(
  { volumes }: SagaDeps,
  { operation, input, memory, client, actor }: Context,
): Promise<void> {
  const volume = deriveVolumeId(operation);
  if (memory.knownOn !== undefined) {
    if ((await volumes.read(volume)) === undefined) return;
    await volumes.doubt(volume, staleReason(memory.knownOn));
    await volumes.change(volume, operation, [{ type: 'release', operation }], actor);
    return;
  }
  await volumes.remove(volume, 'create-undone', actor);
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
