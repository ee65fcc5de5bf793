import {
  type ImageCopyRecord,
  type ImageRecord,
  type ImageView,
  lariatError,
  toImageView,
} from '@lariat/contracts';
import type { Json } from '@lariat/kernel';
import {
  COMMAND_TIMEOUT_MS,
  RETRY_BRIEFLY,
  RETRY_UNTIL_DONE,
  type SagaDefinition,
} from '@lariat/saga';
import { imageBusy, imageNotReady } from '../domain/apply-change.js';
import { type ImageSagaDeps, RECORD_TIMEOUT_MS, changeIfThere, deleteCopies } from './saga-deps.js';

export interface OnImage {
  readonly image: string;
}

interface DeleteImageMemory {
  readonly name: string;
  readonly deleted: ImageView;
  readonly copies: readonly Pick<ImageCopyRecord, 'node' | 'disk'>[];
}

/** Deletes an image that no volume uses, with all its copies. From the claim on no volume can be made of it. */
export function deleteImageSaga(deps: ImageSagaDeps): SagaDefinition<OnImage, DeleteImageMemory> {
  const { images } = deps;
  return {
    kind: 'image.delete',
    subjectOf: ({ image }) => `image/${image}`,
    steps: [
      {
        name: 'claim',
        waitsFor: 'the image to be free',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async ({ operation, input, actor }) => {
          let before: ImageView | undefined;
          const record = await images.change(
            input.image,
            (current) => {
              before = toImageView(current);
              if (current.operation !== null && current.operation !== operation)
                throw imageBusy(current, current.operation);
              if (!isDeletable(current) && current.operation !== operation)
                throw imageNotReady(current, `is ${current.state}`);
              return [
                { type: 'claim', operation },
                { type: 'move', event: 'delete' },
              ];
            },
            actor,
          );
          return {
            name: record.name,
            deleted: before ?? toImageView(record),
            copies: record.copies.map(({ node, disk }) => ({ node, disk })),
          };
        },
        undo: ({ operation, input, actor }) =>
          changeIfThere(
            deps,
            input.image,
            (current) => {
              // The claim may have been refused, or given back before.
              if (current.operation !== operation) return [];
              const event = current.failure === null ? 'keep' : 'keep-failed';
              return [
                { type: 'move', event },
                { type: 'release', operation },
              ];
            },
            actor,
          ),
      },
      {
        name: 'check-users',
        waitsFor: 'the volumes to be asked for',
        timeoutMs: COMMAND_TIMEOUT_MS,
        retry: RETRY_BRIEFLY,
        run: async ({ input, memory, client }) => {
          const { volumes } = await client.request('internal.volume.users-of-image', {
            image: input.image,
          });
          if (volumes.length > 0) throw imageInUse(memory.name ?? input.image, volumes);
        },
      },
      {
        name: 'delete-copies',
        waitsFor: (_input, memory) =>
          `copies to go on ${(memory.copies ?? []).map(({ node }) => node).join(', ')}`,
        timeoutMs: 2 * COMMAND_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async (context) => {
          const { image } = context.input;
          // Read anew: a spread may have put one on record right before the claim.
          const record = await images.read(image);
          // A recovery from what nodes keep must not bring it back when some of the copies are gone.
          if (record !== undefined) await images.tell(record);
          const copies = record?.copies ?? [];
          await deleteCopies(deps, context, image, copies, 'the image is deleted');
        },
      },
      {
        name: 'forget',
        waitsFor: 'the records to be removed',
        timeoutMs: RECORD_TIMEOUT_MS,
        retry: RETRY_UNTIL_DONE,
        run: async ({ input, memory, actor }) => {
          await images.remove(input.image, 'deleted', actor);
          if (memory.name !== undefined) await images.names.release(memory.name, input.image);
        },
      },
    ],
    result: (_input, { deleted }) => (deleted ?? null) as Json,
  };
}

/** Nobody works on it. One that is `deleting` so was found by a recovery: its deletion had begun. */
export const isDeletable = ({ state, operation }: ImageRecord): boolean =>
  state === 'ready' || state === 'failed' || (state === 'deleting' && operation === null);

export function imageInUse(
  name: string,
  volumes: readonly { readonly id: string; readonly name: string }[],
): Error {
  const names = volumes.map((volume) => `'${volume.name}'`).join(', ');
  return lariatError(
    'IMAGE_IN_USE',
    `Image '${name}' is used by ${volumes.length === 1 ? 'volume' : 'volumes'} ${names}; delete ${volumes.length === 1 ? 'it' : 'them'} first.`,
    { volumes: volumes.map((volume) => ({ ...volume })) },
  );
}
