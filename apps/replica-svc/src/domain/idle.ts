import { type VolumeRecord, isAtRest } from '@lariat/contracts';

/** Whether the record says what the volume has, and is not about to say something else. */
export const isIdle = (record: VolumeRecord): boolean =>
  isAtRest(record) && record.operation === null && record.inDoubt === undefined;
