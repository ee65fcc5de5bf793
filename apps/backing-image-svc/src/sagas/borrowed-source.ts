import { type ImageVolumeSource, hasCode, lariatError } from '@lariat/contracts';
import { deriveImageId, deriveOperationId } from '@lariat/kernel';
import {
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type RetryPolicy,
  type SagaStep,
  endOperation,
  findOperation,
  outcomeOf,
} from '@lariat/saga';
import type {
  CreateImageContext,
  CreateImageInput,
  CreateImageMemory,
} from './create-image.saga.js';
import { RECORD_TIMEOUT_MS } from './saga-deps.js';
import { closeReadings } from './volume-readings.js';

type Step = SagaStep<CreateImageInput, CreateImageMemory>;

/** As long as the volume may be in other hands, and its snapshot may take, several times over. */
const BORROW_TIMEOUT_MS = 180_000;
/** The service of volumes may be starting anew. */
const RETRY_WHILE_AWAY: RetryPolicy = { ...RETRY_BRIEFLY, attempts: 10 };

export function volumeOf({ source }: CreateImageInput): ImageVolumeSource | undefined {
  return 'volume' in source ? source.volume : undefined;
}

/**
 * An image of a volume is of one point in time: of a snapshot, which is kept from deletion until the import has ended. Where
 * none is named, an operation of the volumes' service takes one.
 */
export const borrowStep: Step = {
  name: 'borrow',
  waitsFor: (input) => {
    const volume = volumeOf(input);
    return volume === undefined ? 'nothing' : `a snapshot of ${volume.name}`;
  },
  timeoutMs: BORROW_TIMEOUT_MS,
  retry: RETRY_WHILE_AWAY,
  run: async (context) => {
    const volume = volumeOf(context.input);
    if (volume === undefined) return undefined;
    await borrow(context, volume);
    return { snapshot: await lentSnapshot(context, volume) };
  },
  undo: async (context) => {
    const { client, operation, input, memory } = context;
    const volume = volumeOf(input);
    // Nothing is asked for before the turn is in the journal.
    if (volume === undefined || memory.lendTurn === undefined) return;
    await endOperation(client, deriveOperationId(lendRequest(operation, memory.lendTurn)));
    await giveBack(context, volume);
  },
};

/** Nothing is read any more: closes what an import could not close by itself, and lets the snapshot go. */
export const returnStep: Step = {
  name: 'return',
  waitsFor: (input) => {
    const volume = volumeOf(input);
    return volume === undefined ? 'nothing' : `the snapshot of ${volume.name} to be given back`;
  },
  timeoutMs: RECORD_TIMEOUT_MS * 3,
  retry: RETRY_UNTIL_DONE,
  run: async (context) => {
    const volume = volumeOf(context.input);
    if (volume === undefined) return;
    await closeReadings(context, context.memory.readings ?? []);
    await giveBack(context, volume);
  },
};

const lendRequest = (operation: string, turn: number): string => `${operation}/lend/${turn}`;

/** Joins what an earlier run has begun; only when that has failed is another one begun. */
async function borrow(context: CreateImageContext, volume: ImageVolumeSource): Promise<void> {
  const { client, operation, input } = context;
  let turn = context.memory.lendTurn ?? 1;
  const before = await findOperation(client, deriveOperationId(lendRequest(operation, turn)));
  if (before !== undefined && before.error !== null) turn += 1;
  await context.checkpoint({ lendTurn: turn });
  const request = {
    ...{ volume: volume.id, image: deriveImageId(operation), name: input.name },
    ...{ borrower: operation, wait: false },
    ...(volume.snapshot === null ? {} : { snapshot: volume.snapshot }),
  };
  const requestId = lendRequest(operation, turn);
  await outcomeOf(
    context,
    await client.request('internal.volume.lend-snapshot', request, { requestId }),
  );
}

async function lentSnapshot(
  { client, operation }: CreateImageContext,
  { id, name }: ImageVolumeSource,
): Promise<string> {
  const image = deriveImageId(operation);
  const record = await client.request('internal.volume.record', { volume: id, fresh: true });
  const lent = record.clones?.find(({ volume }) => volume === image);
  if (lent !== undefined) return lent.snapshot;
  throw lariatError('SNAPSHOT_NOT_FOUND', `No snapshot of ${name} is kept for the import.`, {
    volume: id,
    image,
  });
}

/** One that was taken for the import goes by itself when nobody needs it. */
async function giveBack(
  { client, operation }: CreateImageContext,
  { id: volume }: ImageVolumeSource,
): Promise<void> {
  const changes = [{ type: 'drop-clone' as const, volume: deriveImageId(operation) }];
  try {
    await client.request('internal.volume.change', { volume, operation, changes });
  } catch (error) {
    if (!hasCode(error, 'VOLUME_NOT_FOUND')) throw error;
  }
}
