import { type ReplicaRecord, type VolumeRecord, isAtRest, lariatError } from '@lariat/contracts';

export interface RebuildPolicy {
  /** A failed replica may come back by itself for this long. */
  readonly graceMs: number;
  /** Rebuilds that begin by themselves wait until no node would take part in more than this many. */
  readonly maxPerNode: number;
  /** What each rebuild may write to the new replica; 0: no limit. */
  readonly limitMibPerSecond: number;
  /** Writers stall for this at most while a replica joins. */
  readonly stallMs: number;
  /** False: rebuilds are begun on request alone. */
  readonly byItself: boolean;
}

export const DEFAULT_STALL_MS = 8_000;
/** In less no node could do its part. */
const MIN_STALL_MS = 1_000;
/** Long past what hosts bear: Linux resets a connection whose command has not ended after 30 s. */
const MAX_STALL_MS = 60_000;

export function rebuildPolicyFrom(env: NodeJS.ProcessEnv): RebuildPolicy {
  const graceMs = wholeNumber(env, 'LARIAT_REBUILD_GRACE_MS', 60_000, 'milliseconds');
  const maxPerNode = wholeNumber(env, 'LARIAT_REBUILDS_PER_NODE', 2, 'rebuilds');
  const mode = env.LARIAT_REBUILD ?? 'auto';
  if (mode !== 'auto' && mode !== 'manual') {
    throw lariatError('REQUEST_INVALID', `LARIAT_REBUILD must be auto or manual, not '${mode}'.`);
  }
  const limitMibPerSecond = wholeNumber(env, 'LARIAT_REBUILD_MIB_PER_SECOND', 0, 'MiB');
  const stallMs = wholeNumber(env, 'LARIAT_REBUILD_STALL_MS', DEFAULT_STALL_MS, 'milliseconds');
  if (stallMs < MIN_STALL_MS || stallMs > MAX_STALL_MS) {
    throw lariatError(
      'REQUEST_INVALID',
      `LARIAT_REBUILD_STALL_MS must be from ${MIN_STALL_MS} to ${MAX_STALL_MS}, not ${stallMs}.`,
    );
  }
  return { graceMs, maxPerNode, limitMibPerSecond, stallMs, byItself: mode === 'auto' };
}

function wholeNumber(
  env: NodeJS.ProcessEnv,
  name: string,
  otherwise: number,
  unit: string,
): number {
  const text = env[name] ?? String(otherwise);
  const value = Number(text);
  if (text !== '' && Number.isInteger(value) && value >= 0) return value;
  throw lariatError('REQUEST_INVALID', `${name} must be a whole number of ${unit}, not '${text}'.`);
}

/** A rebuild to ask for; `replica` is null when any faulted or missing one may be chosen. */
export interface DueRebuild {
  readonly replica: string | null;
}

/**
 * The rebuild of the volume that is due; undefined: none is. A replica that is back is brought up to date at once. One
 * that is away is waited for until its grace has passed, and then made elsewhere. Pure.
 */
export function dueRebuild(
  record: VolumeRecord,
  policy: RebuildPolicy,
  nowMs: number,
  isBack: (replica: ReplicaRecord) => boolean,
): DueRebuild | undefined {
  if (record.operation !== null || record.rebuild?.paused === true) return undefined;
  if (!isAtRest(record)) return undefined;
  const inSync = record.replicas.filter(({ mode }) => mode === 'RW').length;
  if (inSync === 0 || inSync >= record.replicaCount) return undefined;
  const faulted = record.replicas.filter(({ mode }) => mode === 'ERR');
  // A missing replica with no faulted one in its place will not come back.
  if (faulted.length === 0) return { replica: null };
  const awayMs = (replica: ReplicaRecord): number => nowMs - (replica.faultedAtMs ?? 0);
  const returned = faulted.find((replica) => isBack(replica));
  const given = returned ?? faulted.find((replica) => awayMs(replica) >= policy.graceMs);
  return given === undefined ? undefined : { replica: given.id };
}
