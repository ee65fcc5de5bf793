import type { VolumeContent } from '@lariat/contracts';
import type { Probe } from './superblock.js';

/**
 * What a stage does next. `intend`: put the intent to format on record. `format`: run mkfs under the uuid on record.
 * `confirm`: check what is there, and put on record that it was made. `wait`: nothing is known well enough; look again.
 */
export type StageStep = 'intend' | 'format' | 'confirm' | 'mount' | 'wait' | 'refuse';

/** What a probe has found, as the record sees it. */
export type Finding = 'absent' | 'as-recorded' | 'unrecognised' | 'other' | 'unknown';

/**
 * The whole of the decision (invariant 9). mkfs runs on an intent alone, which only a blank volume gets, and only on what
 * reads as empty or as the debris of an mkfs that did not end. What holds a file system on record and reads otherwise is
 * waited for, however long: it is not here, or not to be read.
 */
export const STAGE_TABLE: Readonly<
  Record<VolumeContent['state'], Readonly<Record<Finding, StageStep>>>
> = {
  blank: {
    absent: 'intend',
    'as-recorded': 'refuse',
    unrecognised: 'refuse',
    other: 'refuse',
    unknown: 'wait',
  },
  'format-intended': {
    absent: 'format',
    'as-recorded': 'confirm',
    unrecognised: 'format',
    other: 'refuse',
    unknown: 'wait',
  },
  initialised: {
    absent: 'wait',
    'as-recorded': 'mount',
    unrecognised: 'wait',
    other: 'wait',
    unknown: 'wait',
  },
  foreign: {
    absent: 'refuse',
    'as-recorded': 'mount',
    unrecognised: 'mount',
    other: 'mount',
    unknown: 'wait',
  },
};

export function findingOf(content: VolumeContent, probe: Probe): Finding {
  if (probe.kind !== 'present') return probe.kind;
  if ('uuid' in content && probe.uuid === content.uuid && probe.fsType === content.fsType)
    return 'as-recorded';
  return probe.fsType === null ? 'unrecognised' : 'other';
}

export const nextStageStep = (content: VolumeContent, probe: Probe): StageStep =>
  STAGE_TABLE[content.state][findingOf(content, probe)];

/** Why a stage waits or is refused, for a person. */
export function explainStage(content: VolumeContent, probe: Probe): string {
  const recorded =
    'uuid' in content ? `${content.state} (${content.fsType} ${content.uuid})` : content.state;
  const found = {
    absent: 'the device reads as empty',
    unknown: probe.kind === 'unknown' ? `the device can't be read: ${probe.why}` : '',
    present:
      probe.kind === 'present'
        ? `the device holds ${probe.fsType ?? 'something'} ${probe.uuid ?? 'that is not known'}`
        : '',
  }[probe.kind];
  return `its content on record is ${recorded}, and ${found}; it is not formatted`;
}
