import type { Metric, MetricOf } from './metric-table.js';

export type AttributesOf<M extends Metric> = Readonly<Record<M['attributes'][number], string>>;

export interface Sample<M extends Metric> {
  readonly value: number;
  readonly attributes: AttributesOf<M>;
}

type Told = MetricOf<'gauge' | 'total'>;

/** Asked each time metrics are sent; one that fails tells nothing that time. */
export type Reading<M extends Metric> = () => readonly Sample<M>[] | Promise<readonly Sample<M>[]>;

/** Measures what the table names; whether and where it is sent is not the business of who measures. */
export interface Metrics {
  add<M extends MetricOf<'counter'>>(metric: M, attributes: AttributesOf<M>, by?: number): void;
  record<M extends MetricOf<'histogram'>>(
    metric: M,
    value: number,
    attributes: AttributesOf<M>,
  ): void;
  /** The answer ends it. */
  observe<M extends Told>(metric: M, read: Reading<M>): () => void;
  shutdown(): Promise<void>;
}

/** Where nobody is told. */
export const NO_METRICS: Metrics = {
  add: () => undefined,
  record: () => undefined,
  observe: () => () => undefined,
  shutdown: () => Promise.resolve(),
};

/** One end for several observations. */
export const allObservations =
  (ends: readonly (() => void)[]): (() => void) =>
  () =>
    ends.forEach((end) => end());

/** How many there are of each: one sample for each set of attributes. */
export function countBy<M extends Metric, T>(
  things: Iterable<T>,
  attributesOf: (thing: T) => AttributesOf<M>,
): readonly Sample<M>[] {
  const counts = new Map<string, { value: number; attributes: AttributesOf<M> }>();
  for (const thing of things) {
    const attributes = attributesOf(thing);
    const key = JSON.stringify(attributes);
    const count = counts.get(key) ?? { value: 0, attributes };
    count.value += 1;
    counts.set(key, count);
  }
  return [...counts.values()];
}

const MS_PER_SECOND = 1000;

export const secondsSince = (beganMs: number): number =>
  (performance.now() - beganMs) / MS_PER_SECOND;
