import type { Metric } from './metric-table.js';
import type { Sample } from './metrics.js';

/**
 * Twice as long as Prometheus takes a series for what it was last. What is sent by OTLP has no way to say that a series
 * has ended: without a zero, a node that was down for one interval would be down for five minutes.
 */
export const GONE_TOLD_MS = 600_000;

/** What was told of a gauge before and is not there any more is told as 0 for a while. */
export function goneAsZero<M extends Metric>(
  nowMs: () => number,
): (samples: readonly Sample<M>[]) => readonly Sample<M>[] {
  const seen = new Map<string, { readonly attributes: Sample<M>['attributes']; lastMs: number }>();
  return (samples) => {
    const now = nowMs();
    const present = new Set<string>();
    for (const { attributes } of samples) {
      const key = JSON.stringify(attributes);
      present.add(key);
      seen.set(key, { attributes, lastMs: now });
    }
    const gone: Sample<M>[] = [];
    for (const [key, { attributes, lastMs }] of seen) {
      if (present.has(key)) continue;
      if (now - lastMs > GONE_TOLD_MS) seen.delete(key);
      else gone.push({ value: 0, attributes });
    }
    return [...samples, ...gone];
  };
}
