import { LariatError } from '@lariat/kernel';
import {
  type Tracing,
  contextFromTraceparent,
  failSpan,
  formatTraceparent,
} from '@lariat/telemetry';
import { type Context, ROOT_CONTEXT, SpanKind, TraceFlags } from '@opentelemetry/api';
import type { SagaRecord } from './saga-record.js';

/** The context whose children hang below the saga's root span, which is exported only when the saga ends. */
export function rootContext(record: Pick<SagaRecord, 'traceId' | 'spanId'>): Context {
  if (record.traceId === '') return ROOT_CONTEXT;
  return contextFromTraceparent(formatTraceparent({ ...record, traceFlags: TraceFlags.SAMPLED }));
}

export function attributesOf(record: SagaRecord): Record<string, string> {
  return { 'saga.id': record.id, 'saga.type': record.kind, 'saga.subject': record.subject };
}

export interface StepWait {
  /** Missing: it is not a node's answer that is waited for. */
  readonly node?: string;
  readonly command?: string;
  readonly sinceMs: number;
  readonly nowMs: number;
}

/**
 * Told while the step still waits: its own span, and that of the command, are sent only when they have ended. A child of the
 * root, which always ends.
 */
export function traceWait({ tracer }: Tracing, record: SagaRecord, wait: StepWait): void {
  tracer
    .startSpan(
      `saga.wait ${record.kind}/${record.stepName ?? ''}`,
      {
        startTime: wait.sinceMs,
        attributes: {
          ...attributesOf(record),
          'saga.step': record.stepName ?? '',
          'saga.attempt': record.attempt,
          'saga.waiting_for': record.waitingFor ?? '',
          ...(wait.node === undefined ? {} : { 'node.id': wait.node }),
          ...(wait.command === undefined ? {} : { command: wait.command }),
        },
      },
      rootContext(record),
    )
    .end(wait.nowMs);
}

/** Exports the root span of an ended saga, under the ids that were reserved when it began. */
export function endRootSpan(tracing: Tracing, record: SagaRecord): void {
  const span = tracing.startReserved(
    record,
    `saga ${record.kind}`,
    {
      kind: SpanKind.INTERNAL,
      startTime: record.startedAtMs,
      attributes: { ...attributesOf(record), 'saga.outcome': outcomeOf(record) },
    },
    contextFromTraceparent(record.traceparent ?? undefined),
  );
  if (record.error !== null) failSpan(span, LariatError.fromRecord(record.error));
  span.end();
}

export function outcomeOf(record: SagaRecord): string {
  if (record.state === 'succeeded') return 'completed';
  return record.state === 'failed' ? 'compensated' : 'stuck';
}
