import type { SpanRecord } from '@lariat/telemetry';
import { formatDuration } from './durations.js';

interface Line {
  readonly span: SpanRecord;
  readonly prefix: string;
}

/** Parents before children, children by start; spans whose parent is missing stand at the top. */
function layOut(spans: readonly SpanRecord[]): readonly Line[] {
  const known = new Set(spans.map((span) => span.spanId));
  const children = new Map<string | null, SpanRecord[]>();
  for (const span of spans.toSorted((a, b) => a.startMs - b.startMs)) {
    const parent =
      span.parentSpanId !== null && known.has(span.parentSpanId) ? span.parentSpanId : null;
    children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const lines: Line[] = [];
  const visit = (parent: string | null, indent: string): void => {
    const list = children.get(parent) ?? [];
    list.forEach((span, index) => {
      const isLast = index === list.length - 1;
      const isRoot = parent === null;
      lines.push({ span, prefix: isRoot ? '' : `${indent}${isLast ? '└─ ' : '├─ '}` });
      visit(span.spanId, isRoot ? '' : `${indent}${isLast ? '   ' : '│  '}`);
    });
  };
  visit(null, '');
  return lines;
}

function waitNote({ name, attributes }: SpanRecord): string {
  if (!name.startsWith('saga.wait ')) return '';
  const { 'node.id': node, 'saga.waiting_for': what } = attributes;
  return `for ${String(what)}${node === undefined ? '' : ` (node ${String(node)})`}`;
}

/** The spans of one trace as a tree, with offset from the first start, duration, service and error. */
export function formatTrace(spans: readonly SpanRecord[]): string {
  const lines = layOut(spans);
  const firstMs = Math.min(...spans.map((span) => span.startMs));
  const known = new Set(spans.map((span) => span.spanId));
  const rows = lines.map(({ span, prefix }) => ({
    name: `${prefix}${span.error === null ? '' : '✗ '}${span.name}`,
    offset: `+${formatDuration(span.startMs - firstMs)}`,
    duration: formatDuration(span.durationMs),
    service: span.service,
    note: [
      span.parentSpanId !== null && !known.has(span.parentSpanId) ? '(its parent is not kept)' : '',
      waitNote(span),
      span.error ?? '',
    ]
      .filter((text) => text !== '')
      .join(' '),
  }));
  const width = (pick: (row: (typeof rows)[number]) => string): number =>
    Math.max(0, ...rows.map((row) => pick(row).length));
  const [nameWidth, offsetWidth, durationWidth, serviceWidth] = [
    width((row) => row.name),
    width((row) => row.offset),
    width((row) => row.duration),
    width((row) => row.service),
  ];
  return rows
    .map((row) =>
      [
        row.name.padEnd(nameWidth),
        row.offset.padStart(offsetWidth),
        row.duration.padStart(durationWidth),
        row.service.padEnd(serviceWidth),
        row.note,
      ]
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
