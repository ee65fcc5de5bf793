import type { ReceivedSpan } from './otlp-receiver.js';

/** What stands for one object alone: a name with it in makes one span name an object. */
const IDENTIFIER =
  /\b(?:[a-z]+-(?=[a-z]*\d)[0-9a-z]{12,}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22,}|[0-9a-f]{16,})\b/;

const told = ({ name, traceId, service, instance }: ReceivedSpan): string =>
  `'${name}' of ${service} ${instance} in trace ${traceId}`;

/**
 * What is wrong with what a collector has got. A span that never ends is never sent: it shows as the missing parent of
 * what happened in it, or, of a saga, as a start without an end.
 */
export function spanFaults(spans: readonly ReceivedSpan[]): readonly string[] {
  const known = new Set(spans.map(({ traceId, spanId }) => `${traceId}/${spanId}`));
  const ended = new Set(
    spans
      .filter(({ name }) => name.startsWith('saga '))
      .map(({ attributes }) => attributes['saga.id']),
  );
  const faults: string[] = [];
  if (known.size < spans.length) faults.push(`${spans.length - known.size} spans came twice`);
  for (const span of spans) {
    const { name, parentSpanId, traceId, startNs, endNs, attributes } = span;
    if (name.trim() === '') faults.push(`a span without a name: ${told(span)}`);
    if (IDENTIFIER.test(name)) faults.push(`an id in the name: ${told(span)}`);
    if (parentSpanId !== '' && !known.has(`${traceId}/${parentSpanId}`))
      faults.push(`no parent: ${told(span)}`);
    if (endNs < startNs) faults.push(`an end before its start: ${told(span)}`);
    if (name.startsWith('saga.start ') && !ended.has(attributes['saga.id']))
      faults.push(`a saga without an end: ${told(span)}`);
  }
  return faults;
}
