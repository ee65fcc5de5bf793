import { robustnessOf } from '@lariat/contracts';
import { METRICS, type Metrics, allObservations, countBy } from '@lariat/telemetry';
import type { VolumeStore } from './volume-store.js';

/** Tells how many volumes and replicas are in which state, until the answer is called: one of all copies does. */
export function observeVolumes(volumes: Pick<VolumeStore, 'list'>, metrics: Metrics): () => void {
  return allObservations([
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
