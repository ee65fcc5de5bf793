import { METRICS } from '@lariat/telemetry';
import type { PluginContext } from './define-plugin.js';

const MS_PER_SECOND = 1_000;

/** Tells how far the lists of this instance are, and who answers them. */
export function observeLists({ lists, metrics }: Pick<PluginContext, 'lists' | 'metrics'>): void {
  const numbers = () => Object.entries(lists.numbers());
  metrics.observe(METRICS.listItems, () =>
    numbers().map(([list, { items }]) => ({ value: items, attributes: { list } })),
  );
  metrics.observe(METRICS.listLag, () =>
    numbers().map(([list, { lagMs }]) => ({
      value: (lagMs ?? 0) / MS_PER_SECOND,
      attributes: { list },
    })),
  );
  metrics.observe(METRICS.listPages, () =>
    numbers().flatMap(([list, { shared, memory }]) => [
      { value: shared, attributes: { list, adapter: 'redis' } },
      { value: memory, attributes: { list, adapter: 'memory' } },
    ]),
  );
}
