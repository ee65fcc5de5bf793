import { ReplicaMode, type VolumeRecord } from '@lariat/contracts';

export interface StopVerdict {
  /** The replicas that stay in the in-sync set hold the same bytes. */
  readonly clean: boolean;
  /** Leave the in-sync set: the engine ended without them. */
  readonly lost: readonly string[];
}

/**
 * What the end of an engine says of the replicas. `inStep` are those that had every write when it ended; null, or none of
 * the in-sync set among them, is no evidence: the set stays, since each of it has all that was acknowledged, and the stop
 * was not clean.
 */
export function judgeStop(record: VolumeRecord, inStep: readonly string[] | null): StopVerdict {
  const inSync = record.replicas.filter(({ mode }) => mode === ReplicaMode.rw).map(({ id }) => id);
  const lost = inSync.filter((id) => !(inStep ?? []).includes(id));
  return lost.length < inSync.length ? { clean: true, lost } : { clean: false, lost: [] };
}
