import { robustnessOf } from '@lariat/contracts';
import { METRICS, type Metrics, countBy, whileHeld } from '@lariat/telemetry';
import type { VolumeStore } from './volume-store.js';

/** Tells how many volumes and replicas are in which state, until the signal aborts: one of all copies does. */
export function observeVolumes(
  volumes: Pick<VolumeStore, 'list'>,
  metrics: Metrics,
  signal: AbortSignal,
): void {
  whileHeld(signal, [
    metrics.observe(METRICS.volumes, () =>
      countBy(volumes.list(), (volume) => ({
        state: volume.state,
        robustness: robustnessOf(volume),
      })),
    ),
    metrics.observe(METRICS.replicas, () =>
      countBy(
        volumes.list().flatMap(({ replicas }) => replicas),
        ({ state, mode }) => ({ state, mode }),
      ),
    ),
  ]);
}
