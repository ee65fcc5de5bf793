import { defineStateMachine, type StateMachine } from '@lariat/kernel';

/** A file system that Lariat can make; what an image or a user has put there may be any. */
export const FsType = Object.freeze({ ext4: 'ext4', xfs: 'xfs' } as const);
export type FsType = (typeof FsType)[keyof typeof FsType];

/** What Lariat can put on a device: a file system, or a header under which all that is written is encrypted (LUKS2). */
export const FormatType = Object.freeze({ ...FsType, luks: 'crypto_LUKS' } as const);
export type FormatType = (typeof FormatType)[keyof typeof FormatType];

/** What decides whether mkfs may ever run (invariant 9). */
export type VolumeContent =
  | { readonly state: 'blank' }
  | { readonly state: 'format-intended'; readonly fsType: string; readonly uuid: string }
  | {
      readonly state: 'initialised';
      readonly fsType: string;
      readonly uuid: string;
      /** Of what is encrypted, what lies under its header: nothing, until it is formatted in its turn. */
      readonly inside?: VolumeContent;
    }
  | { readonly state: 'foreign' };

export type ContentState = VolumeContent['state'];

/**
 * `intend-format`: mkfs is about to run. `formatted`: its superblock was read back. `disown`: somebody who keeps no
 * record of it may write from now on.
 */
export const ContentEvent = Object.freeze({
  intendFormat: 'intend-format',
  formatted: 'formatted',
  disown: 'disown',
} as const);
export type ContentEvent = (typeof ContentEvent)[keyof typeof ContentEvent];

/**
 * Nothing leads back: what may hold a user's data never counts as empty again. From a format that is intended only mkfs
 * leads on, as often as it takes: until it has ended, nothing was mounted.
 */
export const CONTENT_MACHINE: StateMachine<ContentState, ContentEvent> = defineStateMachine<
  ContentState,
  ContentEvent
>('content', {
  blank: { 'intend-format': 'format-intended', disown: 'foreign' },
  'format-intended': {
    'intend-format': 'format-intended',
    formatted: 'initialised',
    disown: 'foreign',
  },
  initialised: {},
  foreign: {},
});

/** Whether mkfs may run, as far as the record goes. */
export const mayFormat = ({ state }: VolumeContent): boolean =>
  CONTENT_MACHINE.can(state, ContentEvent.intendFormat);
