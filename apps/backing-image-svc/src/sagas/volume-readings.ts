import {
  type CommandMap,
  type ImageVolumeSource,
  MAX_DIGESTS_PER_PAGE,
  type ReplicaRecord,
  type VolumeRecord,
  decodeDigestPage,
  hasCode,
  imageImportHostNqn,
  isZeroDigest,
  lariatError,
} from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { cleanUp, commandWhileLive, whileWanted } from '@lariat/saga';
import { ClusterMap } from '../domain/cluster-map.js';
import type { NamespaceAccess } from '../ports/importer.port.js';
import type { CreateImageContext } from './create-image.saga.js';
import { READ_TIMEOUT_MS } from './saga-deps.js';

/** An export of a replica's snapshot to the import. A type, not an interface: it goes into the journal as JSON. */
export type VolumeReading = {
  readonly volume: string;
  readonly replica: string;
  readonly node: string;
  readonly snapshot: string;
};

const EXPORT_TIMEOUT_MS = 15_000;
/** Where so many times what it takes is as large as the volume, it is worth to ask for what is zeros. */
const SPARSE_SHARE = 2;

/**
 * Has the snapshot read from one replica that holds it, and from the next one, from the first byte on, when that is lost.
 * What could not be closed stays in the journal, to be closed by who undoes or ends the import.
 */
export async function readVolume<T>(
  context: CreateImageContext,
  volume: ImageVolumeSource,
  read: (namespace: NamespaceAccess) => Promise<T>,
): Promise<T> {
  const { snapshot } = context.memory;
  if (snapshot === undefined) throw lariatError('RECORD_CORRUPT', 'No snapshot is journaled.');
  let open = await stillOpen(context, context.memory.readings ?? []);
  let lost: unknown = lariatError(
    'VOLUME_FAULTED',
    `Volume '${volume.name}' has no healthy replica to read.`,
    { volume: volume.id },
  );
  const { replicas, sizeBytes } = await sourceOf(context, volume, snapshot);
  for (const { id: replica, node } of replicas) {
    const reading = { volume: volume.id, replica, node, snapshot };
    // Before it is asked: whoever undoes this knows what to close.
    open = [...open.filter((other) => other.replica !== replica), reading];
    await context.checkpoint({ readings: open });
    try {
      const { allocatedBytes, ...endpoint } = await openReading(context, reading);
      const isSparse = allocatedBytes * SPARSE_SHARE <= sizeBytes;
      return await read({
        ...{ endpoint, hostNqn: imageImportHostNqn(context.operation) },
        map: isSparse ? await dataOf(context, reading, sizeBytes) : null,
        description: `replica ${replica} of volume '${volume.name}' on node '${node}'`,
      });
    } catch (error) {
      if (!hasCode(error, 'IMAGE_SOURCE_LOST')) throw error;
      lost = error;
      context.log.warn('another replica is read for an image', { ...reading, error });
    } finally {
      open = await stillOpen(context, open);
      await context.checkpoint({ readings: open });
    }
  }
  throw lost;
}

/** Ends the exports; one that is there no more is fine. */
export async function closeReadings(
  context: CreateImageContext,
  readings: readonly VolumeReading[],
): Promise<void> {
  await Promise.all(readings.map((reading) => closeReading(context, reading)));
}

async function closeReading(
  context: CreateImageContext,
  { node, ...of }: VolumeReading,
): Promise<void> {
  const input = { ...of, hostNqn: imageImportHostNqn(context.operation) };
  await cleanUp(context, node, 'snapshot.unexport', input, of.replica);
}

/** Those that could not be closed now: no reason to give up what was read. */
async function stillOpen(
  context: CreateImageContext,
  readings: readonly VolumeReading[],
): Promise<readonly VolumeReading[]> {
  const left = await Promise.all(
    readings.map(async (reading) => {
      try {
        await closeReading(context, reading);
        return [];
      } catch (error) {
        context.log.info('export not closed yet', { ...reading, error });
        return [reading];
      }
    }),
  );
  return left.flat();
}

async function sourceOf(
  { client }: CreateImageContext,
  { id }: ImageVolumeSource,
  snapshot: string,
): Promise<{ readonly replicas: readonly ReplicaRecord[]; readonly sizeBytes: number }> {
  const record = await client.request('internal.volume.record', { volume: id, fresh: true });
  const replicas = record.replicas.filter(({ mode }) => mode === 'RW');
  return { replicas, sizeBytes: findSizeBytes(record, snapshot) };
}

function findSizeBytes({ name, snapshots }: VolumeRecord, wanted: string): number {
  const found = snapshots.find(({ id }) => id === wanted);
  if (found !== undefined) return found.sizeBytes;
  throw lariatError('SNAPSHOT_NOT_FOUND', `Volume '${name}' has no snapshot '${wanted}'.`, {
    snapshot: wanted,
  });
}

/**
 * Where the snapshot has data, by the digests of its clusters, which its node takes. That reads all of the data once more; what
 * it saves is to read, and to send, what nobody wrote.
 */
async function dataOf(
  context: CreateImageContext,
  { node, ...of }: VolumeReading,
  sizeBytes: number,
): Promise<ClusterMap> {
  const map = ClusterMap.ofSize(sizeBytes);
  for (let firstCluster = 0; firstCluster < map.clusters; firstCluster += MAX_DIGESTS_PER_PAGE) {
    const clusters = Math.min(MAX_DIGESTS_PER_PAGE, map.clusters - firstCluster);
    const input = { ...of, firstCluster, clusters };
    const reading = commandWhileLive(context, node, 'rebuild.read-digests', input, {
      key: `${of.replica}/${firstCluster}`,
      timeoutMs: READ_TIMEOUT_MS,
    });
    const { digests } = await lostUnless(of, node, whileWanted(context, reading));
    const page = decodeDigestPage(digests);
    if (page.length !== clusters) {
      throw lariatError(
        'IMAGE_SOURCE_LOST',
        `Node '${node}' told of ${page.length} clusters of replica ${of.replica}, and not of ${clusters}.`,
        { ...of, node },
      );
    }
    for (const [at, digest] of page.entries())
      if (!isZeroDigest(digest)) map.mark(firstCluster + at);
  }
  return map;
}

function openReading(
  context: CreateImageContext,
  { node, ...of }: VolumeReading,
): Promise<CommandMap['snapshot.export']['output']> {
  const input = { ...of, hostNqn: imageImportHostNqn(context.operation) };
  const options = { key: of.replica, timeoutMs: EXPORT_TIMEOUT_MS };
  return lostUnless(of, node, commandWhileLive(context, node, 'snapshot.export', input, options));
}

/** Whatever is in the way of one replica, another may do. */
async function lostUnless<T>(
  of: Omit<VolumeReading, 'node'>,
  node: string,
  answer: Promise<T>,
): Promise<T> {
  try {
    return await answer;
  } catch (reason) {
    if (hasCode(reason, 'OPERATION_CANCELLED')) throw reason;
    const { code, message } = toLariatError(reason);
    throw lariatError(
      'IMAGE_SOURCE_LOST',
      `Node '${node}' does not let replica ${of.replica} be read: ${message}`,
      { ...of, node, code },
      reason,
    );
  }
}
