import {
  type EngineReport,
  ReplicaMode,
  ReplicaState,
  type VolumeChange,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';

/**
 * What the report of an engine that has lost legs changes before they are faulted. One that goes on with no member but one that
 * was to leave it acknowledges from then on what that one alone has: it counts again first (docs/adr/0016). Refuses the
 * report of an engine that is not the volume's present one. Pure.
 */
export function acceptReport(
  record: VolumeRecord,
  report: EngineReport & { readonly node: string },
): readonly VolumeChange[] {
  const { attachment, replicas } = record;
  if (attachment?.epoch !== report.epoch || attachment.node !== report.node) {
    throw lariatError(
      'EPOCH_STALE',
      `Volume '${record.name}' is not attached on '${report.node}' in epoch ${report.epoch}; its epoch is ${record.epoch}.`,
      { volume: record.id, epoch: record.epoch },
    );
  }
  const legs = replicas.filter(({ id }) => report.operational.includes(id));
  if (report.lost.length === 0 || legs.some(({ mode }) => mode === ReplicaMode.rw)) return [];
  return legs
    .filter(({ state }) => state === ReplicaState.removing)
    .map(({ id }) => ({ type: 'sync-replica', replica: id }));
}
