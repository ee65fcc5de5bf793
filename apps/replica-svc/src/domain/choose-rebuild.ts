import {
  type ReplicaRecord,
  type VolumeRecord,
  lariatError,
  robustnessOf,
} from '@lariat/contracts';

export interface RebuildChoice {
  /** The faulted replica that is replaced; null when one is simply missing. */
  readonly replaced: ReplicaRecord | null;
  /** Whether its node and disk are there again: what it still has can be used. */
  readonly isBack: boolean;
  /** The replica that is copied from. */
  readonly source: ReplicaRecord;
  /** The replicas that stay: the new one is kept apart from them. */
  readonly others: readonly ReplicaRecord[];
}

/** What a rebuild of the volume would do. Pure; throws when there is nothing to rebuild, or nothing to copy from. */
export function chooseRebuild(
  record: VolumeRecord,
  wanted: string | undefined,
  isReady: (node: string) => boolean,
  isBack: (replica: ReplicaRecord) => boolean = () => false,
): RebuildChoice {
  const faulted = record.replicas.filter(({ mode }) => mode === 'ERR');
  const inSync = record.replicas.filter(({ mode }) => mode === 'RW');
  const replaced =
    wanted === undefined
      ? (faulted.find((replica) => isBack(replica)) ?? faulted[0] ?? null)
      : findFaulted(record, wanted);
  if (replaced === null && inSync.length >= record.replicaCount) {
    throw lariatError(
      'VOLUME_HEALTHY',
      `Volume '${record.name}' has all its ${record.replicaCount} replicas in sync: nothing is to be rebuilt.`,
      {
        volume: record.id,
      },
    );
  }
  if (robustnessOf(record) === 'faulted') {
    throw lariatError(
      'VOLUME_FAULTED',
      `Volume '${record.name}' has no replica to copy from: bring one of its nodes back.`,
      {
        volume: record.id,
      },
    );
  }
  const others = record.replicas.filter(({ id }) => id !== replaced?.id);
  return {
    ...{ replaced, isBack: replaced !== null && isBack(replaced), others },
    source: chooseSource(record, isReady),
  };
}

/** The replica to copy from. Pure; throws when no node with one that is in sync is ready. */
export function chooseSource(
  record: VolumeRecord,
  isReady: (node: string) => boolean,
): ReplicaRecord {
  const inSync = record.replicas.filter(({ mode }) => mode === 'RW');
  const ready = inSync.filter(({ node }) => isReady(node));
  // The engine's own node would pay for every byte twice.
  const source = ready.find(({ node }) => node !== record.attachment?.node) ?? ready[0];
  if (source !== undefined) return source;
  throw lariatError(
    'LEG_UNREACHABLE',
    `No node with a healthy replica of volume '${record.name}' is ready.`,
    {
      volume: record.id,
      nodes: inSync.map(({ node }) => node),
    },
  );
}

/** What a move of the replica would do: it stays, and counts, until its successor is in sync. Pure. */
export function chooseMove(
  record: VolumeRecord,
  moved: string,
  isReady: (node: string) => boolean,
): RebuildChoice {
  const replaced = record.replicas.find(({ id }) => id === moved);
  if (replaced === undefined) throw replicaNotFound(record, moved);
  const ready = record.replicas.filter(({ mode, node }) => mode === 'RW' && isReady(node));
  // Rather another than the one that is to go: its node may be on its way out.
  const cost = ({ id, node }: ReplicaRecord): number =>
    (id === moved ? 2 : 0) + (node === record.attachment?.node ? 1 : 0);
  const [source] = ready.toSorted((a, b) => cost(a) - cost(b));
  if (source === undefined) {
    throw lariatError(
      'LEG_UNREACHABLE',
      `No node with a healthy replica of volume '${record.name}' is ready to copy from.`,
      { volume: record.id },
    );
  }
  const others = record.replicas.filter(({ id }) => id !== moved);
  return { replaced, isBack: false, source, others };
}

function findFaulted(record: VolumeRecord, id: string): ReplicaRecord {
  const found = record.replicas.find((replica) => replica.id === id);
  if (found === undefined) throw replicaNotFound(record, id);
  if (found.mode !== 'ERR') {
    throw lariatError(
      'VOLUME_HEALTHY',
      `Replica ${id} of volume '${record.name}' is ${found.mode}: only a faulted one is rebuilt.`,
      {
        replica: id,
      },
    );
  }
  return found;
}

export function replicaNotFound(record: VolumeRecord, id: string): Error {
  return lariatError(
    'REPLICA_NOT_FOUND',
    `Volume '${record.name}' has no replica '${id}'. See 'lariat replica list ${record.name}'.`,
    {
      volume: record.id,
      replica: id,
    },
  );
}
