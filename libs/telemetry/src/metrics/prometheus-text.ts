import type { Attributes } from '@opentelemetry/api';
import { DataPointType, type MetricData, type ResourceMetrics } from '@opentelemetry/sdk-metrics';
import { METRICS, type Metric, prometheusLabel, prometheusName } from './metric-table.js';

const TYPES = { counter: 'counter', total: 'counter', gauge: 'gauge', histogram: 'histogram' };
const BY_NAME = new Map(Object.values<Metric>(METRICS).map((metric) => [metric.name, metric]));

const escaped = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

function labels(attributes: Attributes): string {
  const pairs = Object.entries(attributes).map(
    ([name, value]) => `${prometheusLabel(name)}="${escaped(String(value))}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function linesOf(name: string, data: MetricData, about: Attributes): readonly string[] {
  if (data.dataPointType !== DataPointType.HISTOGRAM) {
    if (data.dataPointType === DataPointType.EXPONENTIAL_HISTOGRAM) return [];
    return data.dataPoints.map(
      ({ attributes, value }) => `${name}${labels({ ...attributes, ...about })} ${value}`,
    );
  }
  return data.dataPoints.flatMap(({ attributes, value }) => {
    const all = { ...attributes, ...about };
    let below = 0;
    const buckets = value.buckets.counts.map((count, index) => {
      below += count;
      const le = value.buckets.boundaries[index] ?? '+Inf';
      return `${name}_bucket${labels({ ...all, le })} ${below}`;
    });
    return [
      ...buckets,
      `${name}_sum${labels(all)} ${value.sum ?? 0}`,
      `${name}_count${labels(all)} ${value.count}`,
    ];
  });
}

/** Prometheus' text format 0.0.4, of all services of a process: each metric once, with the service as a label. */
export function prometheusText(read: readonly ResourceMetrics[]): string {
  const byMetric = new Map<Metric, string[]>();
  for (const { resource, scopeMetrics } of read) {
    const about = {
      service_name: String(resource.attributes['service.name']),
      service_instance_id: String(resource.attributes['service.instance.id']),
    };
    for (const data of scopeMetrics.flatMap(({ metrics }) => metrics)) {
      const metric = BY_NAME.get(data.descriptor.name);
      if (metric === undefined) continue;
      const lines = byMetric.get(metric) ?? [];
      lines.push(...linesOf(prometheusName(metric), data, about));
      byMetric.set(metric, lines);
    }
  }
  const parts = Array.from(byMetric, ([metric, lines]) => {
    const name = prometheusName(metric);
    return [
      `# HELP ${name} ${metric.description}`,
      `# TYPE ${name} ${TYPES[metric.kind]}`,
      ...lines,
    ];
  });
  return parts
    .flat()
    .map((line) => `${line}\n`)
    .join('');
}
