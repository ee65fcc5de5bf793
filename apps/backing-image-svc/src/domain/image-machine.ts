import { ImageState } from '@lariat/contracts';
import { defineStateMachine } from '@lariat/kernel';

export const IMAGE_EVENTS = [
  'download',
  'convert',
  'verify',
  'restart',
  'ready',
  'fail',
  'delete',
  'keep',
  'keep-failed',
] as const;
export type ImageEvent = (typeof IMAGE_EVENTS)[number];

/** An import goes back to `pending` when it begins anew; what has ended is left by a deletion alone. */
export const IMAGE_MACHINE = defineStateMachine<ImageState, ImageEvent>('image', {
  [ImageState.pending]: {
    download: ImageState.downloading,
    restart: ImageState.pending,
    fail: ImageState.failed,
  },
  [ImageState.downloading]: {
    convert: ImageState.converting,
    verify: ImageState.verifying,
    restart: ImageState.pending,
    fail: ImageState.failed,
  },
  [ImageState.converting]: {
    verify: ImageState.verifying,
    restart: ImageState.pending,
    fail: ImageState.failed,
  },
  [ImageState.verifying]: {
    ready: ImageState.ready,
    restart: ImageState.pending,
    fail: ImageState.failed,
  },
  [ImageState.ready]: { delete: ImageState.deleting },
  [ImageState.failed]: { delete: ImageState.deleting },
  [ImageState.deleting]: { keep: ImageState.ready, 'keep-failed': ImageState.failed },
});

/** What users are told of a change, in the past tense. */
export const EVENT_NAMES: Readonly<Record<ImageEvent, string>> = {
  download: 'download-started',
  convert: 'conversion-started',
  verify: 'imported',
  restart: 'import-restarted',
  ready: 'became-ready',
  fail: 'failed',
  delete: 'deletion-started',
  keep: 'deletion-undone',
  'keep-failed': 'deletion-undone',
};
