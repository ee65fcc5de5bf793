import type {
  ContentEvent,
  FormatType,
  VolumeChange,
  VolumeContent,
  VolumeRecord,
} from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { describe, expect, it } from 'vitest';
import { applyVolumeChanges } from './apply-change.js';
import { newVolumeRecord } from './volume-record.test-support.js';

const EPOCH = 7;
const ONE = '11111111-1111-4111-8111-111111111111';
const OTHER = '22222222-2222-4222-8222-222222222222';
const blank: VolumeContent = { state: 'blank' };
const foreign: VolumeContent = { state: 'foreign' };
const intended: VolumeContent = { state: 'format-intended', fsType: 'ext4', uuid: ONE };
const initialised: VolumeContent = { state: 'initialised', fsType: 'ext4', uuid: ONE };

const encrypted = (inside: VolumeContent, uuid = OTHER): VolumeContent => ({
  ...{ state: 'initialised', fsType: 'crypto_LUKS', uuid, inside },
});

const attached = (content: VolumeContent): VolumeRecord =>
  newVolumeRecord({
    ...{ content, state: 'attached', epoch: EPOCH },
    attachment: {
      ...{ epoch: EPOCH, node: 'n1', frontend: 'loop', endpoint: '/dev/loop0', engine: null },
      ...{ seizedFrom: null, inSync: [] },
    },
  });

const told = (
  event: ContentEvent,
  uuid: string | null = ONE,
  fsType: FormatType | null = 'ext4',
  inside = false,
): VolumeChange => ({ type: 'set-content', epoch: EPOCH, event, uuid, fsType, inside });
const toldInside = (event: ContentEvent, uuid: string | null = ONE): VolumeChange =>
  told(event, uuid, 'ext4', true);

function outcomeOf(record: VolumeRecord, change: VolumeChange): VolumeContent | string {
  try {
    return applyVolumeChanges(record, null, [change]).record.content;
  } catch (error) {
    return toLariatError(error).code;
  }
}

describe('the content of a volume', () => {
  it.each<[string, VolumeContent, VolumeChange, VolumeContent | string]>([
    ['a blank one may be formatted', blank, told('intend-format'), intended],
    ['an intent again changes nothing', intended, told('intend-format', OTHER), intended],
    [
      'of an intent nothing was mounted: another file system may be made',
      intended,
      told('intend-format', OTHER, 'xfs'),
      { state: 'format-intended', fsType: 'xfs', uuid: OTHER },
    ],
    ['what was intended is there', intended, told('formatted'), initialised],
    ['and is told again', initialised, told('formatted'), initialised],
    ['what was not intended', blank, told('formatted'), 'CONTENT_NOT_INTENDED'],
    ['another uuid than intended', intended, told('formatted', OTHER), 'CONTENT_NOT_INTENDED'],
    ['another type than intended', intended, told('formatted', ONE, 'xfs'), 'CONTENT_NOT_INTENDED'],
    ['another than there is', initialised, told('formatted', OTHER), 'CONTENT_NOT_INTENDED'],
    ['a file system is kept', initialised, told('intend-format', OTHER), 'CONTENT_NOT_BLANK'],
    ['foreign data are kept', foreign, told('intend-format'), 'CONTENT_NOT_BLANK'],
    ['foreign data are not made ours', foreign, told('formatted'), 'CONTENT_NOT_INTENDED'],
    ['an intent without its uuid', blank, told('intend-format', null), 'REQUEST_INVALID'],
    ['a blank one is handed out', blank, told('disown', null, null), foreign],
    ['one half formatted is handed out', intended, told('disown', null, null), foreign],
    ['a file system is handed out', initialised, told('disown', null, null), initialised],
    ['foreign data are handed out', foreign, told('disown', null, null), foreign],
  ])('%s', (_what, content, change, expected) => {
    expect(outcomeOf(attached(content), change)).toEqual(expected);
  });

  it.each<[string, VolumeContent, VolumeChange, VolumeContent | string]>([
    [
      'a blank one may be encrypted',
      blank,
      told('intend-format', OTHER, 'crypto_LUKS'),
      { state: 'format-intended', fsType: 'crypto_LUKS', uuid: OTHER },
    ],
    [
      'under a header that was made there is nothing yet',
      { state: 'format-intended', fsType: 'crypto_LUKS', uuid: OTHER },
      told('formatted', OTHER, 'crypto_LUKS'),
      encrypted(blank),
    ],
    [
      'a header that is told of again hides nothing',
      encrypted(initialised),
      told('formatted', OTHER, 'crypto_LUKS'),
      encrypted(initialised),
    ],
    [
      'a header is never made again',
      encrypted(blank),
      told('intend-format', ONE, 'crypto_LUKS'),
      'CONTENT_NOT_BLANK',
    ],
    [
      'nor is what is encrypted formatted past it',
      encrypted(blank),
      told('intend-format'),
      'CONTENT_NOT_BLANK',
    ],
    [
      'what is under a header may be formatted',
      encrypted(blank),
      toldInside('intend-format'),
      encrypted(intended),
    ],
    ['and is there', encrypted(intended), toldInside('formatted'), encrypted(initialised)],
    [
      'and is kept',
      encrypted(initialised),
      toldInside('intend-format', OTHER),
      'CONTENT_NOT_BLANK',
    ],
    ['without a header', blank, toldInside('intend-format'), 'CONTENT_NOT_ENCRYPTED'],
    ['under another file system', initialised, toldInside('formatted'), 'CONTENT_NOT_ENCRYPTED'],
    [
      'a header under a header',
      encrypted(blank),
      told('intend-format', ONE, 'crypto_LUKS', true),
      'FILE_SYSTEM_UNSUPPORTED',
    ],
    [
      'an empty one is handed out',
      encrypted(blank),
      told('disown', null, null),
      encrypted(foreign),
    ],
    [
      'one that holds a file system is handed out',
      encrypted(initialised),
      told('disown', null, null),
      encrypted(initialised),
    ],
  ])('that is encrypted: %s', (_what, content, change, expected) => {
    expect(outcomeOf(attached(content), change)).toEqual(expected);
  });

  it('is decided by nobody but the node of the attachment that there is', () => {
    const record = attached(blank);
    const change = told('intend-format');
    for (const epoch of [EPOCH - 1, EPOCH + 1])
      expect(outcomeOf(record, { ...change, epoch } as VolumeChange)).toBe('EPOCH_STALE');
    for (const state of ['attaching', 'detaching'] as const)
      expect(outcomeOf({ ...record, state }, change)).toBe('EPOCH_STALE');
    expect(outcomeOf({ ...record, attachment: null }, change)).toBe('EPOCH_STALE');
    expect(outcomeOf({ ...record, inDoubt: ['why'] }, change)).toBe('VOLUME_IN_DOUBT');
  });

  it('is changed whoever holds the volume, and told of once', () => {
    const record = { ...attached(blank), operation: 'op-of-a-snapshot' };
    const { record: after, events } = applyVolumeChanges(record, null, [told('intend-format')]);
    expect(events).toEqual([{ type: 'content-changed', data: { from: 'blank', ...intended } }]);
    expect(applyVolumeChanges(after, null, [told('intend-format')])).toEqual({
      record: after,
      events: [],
    });
  });

  it('is foreign once somebody has it who keeps no record of it', () => {
    const after = (content: VolumeContent): VolumeContent =>
      applyVolumeChanges({ ...attached(content), operation: 'op-1' }, 'op-1', [
        { type: 'disown-content' },
      ]).record.content;
    expect([blank, intended, initialised, foreign].map(after)).toEqual([
      foreign,
      foreign,
      initialised,
      foreign,
    ]);
  });
});
