import { type VolumeRecord, lariatError } from '@lariat/contracts';
import { type Clock, delay, toLariatError } from '@lariat/kernel';
import type { LariatClient } from '@lariat/messaging';
import type { Log } from '@lariat/telemetry';
import type { VolumeView } from '../adapters/volume-view.js';

const LOOK_EVERY_MS = 1_000;
/** After a rebuild that could not be begun or failed. */
const RETRY_AFTER_MS = 30_000;

export interface RebuildPolicy {
  /** A failed replica may come back by itself for this long. */
  readonly graceMs: number;
}

export function rebuildPolicyFrom(env: NodeJS.ProcessEnv): RebuildPolicy {
  const text = env.LARIAT_REBUILD_GRACE_MS ?? '60000';
  const graceMs = Number(text);
  if (!Number.isInteger(graceMs) || graceMs < 0) {
    throw lariatError(
      'REQUEST_INVALID',
      `LARIAT_REBUILD_GRACE_MS must be a whole number of milliseconds, not '${text}'.`,
    );
  }
  return { graceMs };
}

/** Whether a rebuild of the volume is due. Pure. */
export function isRebuildDue(record: VolumeRecord, policy: RebuildPolicy, nowMs: number): boolean {
  if (record.operation !== null) return false;
  if (record.state !== 'attached' && record.state !== 'detached') return false;
  const inSync = record.replicas.filter(({ mode }) => mode === 'RW').length;
  if (inSync === 0 || inSync >= record.replicaCount) return false;
  const faultedAt = record.replicas.flatMap(({ faultedAtMs }) =>
    faultedAtMs === null ? [] : [faultedAtMs],
  );
  // A missing replica with no faulted one in its place will not come back.
  return faultedAt.length === 0 || nowMs - Math.max(...faultedAt) >= policy.graceMs;
}

/** Asks for the rebuild of each degraded volume whose time has come. */
export async function rebuildDegraded(
  deps: {
    volumes: VolumeView;
    client: LariatClient;
    clock: Clock;
    log: Log;
    policy: RebuildPolicy;
  },
  signal: AbortSignal,
): Promise<void> {
  const notBeforeMs = new Map<string, number>();
  while (!signal.aborted) {
    const nowMs = deps.clock.nowMs();
    for (const record of deps.volumes.list()) {
      if (!isRebuildDue(record, deps.policy, nowMs) || (notBeforeMs.get(record.id) ?? 0) > nowMs)
        continue;
      notBeforeMs.set(record.id, nowMs + RETRY_AFTER_MS);
      try {
        await deps.client.request('replica.rebuild', { volume: record.id, wait: false });
        deps.log.info('rebuild begun', { volume: record.id });
      } catch (error) {
        deps.log.info('rebuild not begun', { volume: record.id, code: toLariatError(error).code });
      }
    }
    await delay(LOOK_EVERY_MS, signal);
  }
}
