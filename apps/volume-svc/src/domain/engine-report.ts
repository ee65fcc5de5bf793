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
 * was to leave it acknowledges from then on what that one alone has: it counts again first (docs/adr/0016). One that would go
 * on with legs of which none counts, with one that is being rebuilt say, may not: what it holds is never acknowledged then.
 * Refuses the report of an engine that is not the volume's present one. Pure.
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
  const again = legs.filter(({ state }) => state === ReplicaState.removing);
  // Without any leg it answers with errors as it is.
  if (again.length === 0 && report.operational.length > 0) throw noneCounts(record, report);
  return again.map(({ id }) => ({ type: 'sync-replica', replica: id }));
}

function noneCounts(
  record: VolumeRecord,
  { node, operational, lost }: EngineReport & { readonly node: string },
): Error {
  return lariatError(
    'LAST_REPLICA',
    `The engine of volume '${record.name}' on '${node}' has lost ${lost.map(({ replica }) => replica).join(', ')}; ${operational.join(', ')} alone may not go on: it does not hold all acknowledged writes. Bring the nodes of the lost ones back, then detach the volume and attach it again.`,
    { volume: record.id, node, operational: [...operational] },
  );
}
