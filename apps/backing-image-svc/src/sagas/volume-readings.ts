import {
  type ImageVolumeSource,
  type NvmfEndpoint,
  type ReplicaRecord,
  hasCode,
  imageImportHostNqn,
  lariatError,
} from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { cleanUp, commandWhileLive } from '@lariat/saga';
import type { NamespaceAccess } from '../ports/importer.port.js';
import type { CreateImageContext } from './create-image.saga.js';

/** An export of a replica's snapshot to the import. A type, not an interface: it goes into the journal as JSON. */
export type VolumeReading = {
  readonly volume: string;
  readonly replica: string;
  readonly node: string;
  readonly snapshot: string;
};

const EXPORT_TIMEOUT_MS = 15_000;

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
  for (const { id: replica, node } of await inSync(context, volume)) {
    const reading = { volume: volume.id, replica, node, snapshot };
    // Before it is asked: whoever undoes this knows what to close.
    open = [...open.filter((other) => other.replica !== replica), reading];
    await context.checkpoint({ readings: open });
    try {
      const endpoint = await openReading(context, reading);
      return await read({
        ...{ endpoint, hostNqn: imageImportHostNqn(context.operation) },
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

async function inSync(
  { client }: CreateImageContext,
  { id }: ImageVolumeSource,
): Promise<readonly ReplicaRecord[]> {
  const { replicas } = await client.request('internal.volume.record', { volume: id, fresh: true });
  return replicas.filter(({ mode }) => mode === 'RW');
}

/** Whatever is in the way of one replica, another may do. */
async function openReading(
  context: CreateImageContext,
  { node, ...of }: VolumeReading,
): Promise<NvmfEndpoint> {
  const input = { ...of, hostNqn: imageImportHostNqn(context.operation) };
  try {
    return await commandWhileLive(context, node, 'snapshot.export', input, {
      key: of.replica,
      timeoutMs: EXPORT_TIMEOUT_MS,
    });
  } catch (reason) {
    const { code, message } = toLariatError(reason);
    throw lariatError(
      'IMAGE_SOURCE_LOST',
      `Node '${node}' does not export replica ${of.replica}: ${message}`,
      { ...of, node, code },
      reason,
    );
  }
}
