import type { SagaRecord, SagaStore } from '@lariat/saga';
import { METRICS, countBy } from '@lariat/telemetry';
import type { PluginContext } from './define-plugin.js';

/** Tells which operations this instance runs, and since when: one that nobody runs is taken up within seconds. */
export function observeSagas(
  store: Pick<SagaStore, 'running'>,
  { metrics, instance, clock }: Pick<PluginContext, 'metrics' | 'instance' | 'clock'>,
): void {
  const held = (): readonly SagaRecord[] =>
    [...store.running()].map(({ value }) => value).filter(({ holder }) => holder === instance);
  metrics.observe(METRICS.sagasRunning, () =>
    countBy(held(), ({ kind }) => ({ 'saga.type': kind })),
  );
  metrics.observe(METRICS.oldestSagaAge, () => {
    const since = new Map<string, number>();
    for (const { kind, startedAtMs } of held())
      since.set(kind, Math.min(startedAtMs, since.get(kind) ?? startedAtMs));
    return Array.from(since, ([kind, startedAtMs]) => ({
      value: Math.max(0, clock.nowMs() - startedAtMs) / 1000,
      attributes: { 'saga.type': kind },
    }));
  });
}
