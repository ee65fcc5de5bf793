import { type VolumeRecord, lariatError } from '@lariat/contracts';

export function volumeInDoubt(record: VolumeRecord): Error {
  return lariatError(
    'VOLUME_IN_DOUBT',
    `It is not known whether the record of volume '${record.name}' is the newest (${(record.inDoubt ?? []).join('; ')}): bring its nodes back and run 'lariat recover'.`,
    { volume: record.id, reasons: record.inDoubt ?? [] },
  );
}
