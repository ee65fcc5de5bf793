import {
  type ServerUnaryCall,
  type handleUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { toLariatError } from '@lariat/kernel';
import {
  METRICS,
  type Log,
  type Metrics,
  contextFromTraceparent,
  inSpan,
  secondsSince,
} from '@lariat/telemetry';
import { SpanKind, type Tracer } from '@opentelemetry/api';
import { Refusal } from '../domain/refusal.js';
import { type StatusName, statusOfError } from '../domain/status-of-error.js';
import type { CallScope } from './messages.js';

export interface Observed {
  readonly tracer: Tracer;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Of callers that set no deadline. */
const DEFAULT_DEADLINE_MS = 120_000;
/** An answer that says why is worth more to the caller than its own deadline's. */
const ANSWER_MS = 150;

/** One call of the interface: within its caller's deadline, in a span below the caller's. */
export function unary<Request, Answer>(
  name: string,
  handle: (request: Request, scope: CallScope) => Promise<Answer>,
  { tracer, metrics, log }: Observed,
): handleUnaryCall<Request, Answer> {
  const answer = async (call: ServerUnaryCall<Request, Answer>): Promise<Answer> => {
    const parent = contextFromTraceparent(call.metadata.get('traceparent')[0]?.toString());
    const attributes = { 'rpc.system': 'grpc', 'rpc.method': name };
    const options = { kind: SpanKind.SERVER, attributes };
    return inSpan(tracer, name, options, parent, async (span) => {
      const startedMs = performance.now();
      const told = (outcome: string): { call: string; outcome: string; ms: number } => {
        const labels = { 'rpc.method': name, 'rpc.grpc.status_code': outcome };
        metrics.record(METRICS.csiDuration, secondsSince(startedMs), labels);
        return { ...{ call: name, outcome }, ms: Math.round(performance.now() - startedMs) };
      };
      try {
        const answered = await handle(call.request, scopeOf(call));
        log.info('call answered', told('OK'));
        return answered;
      } catch (error) {
        const failure = failureOf(error);
        span.setAttribute('rpc.grpc.status_code', status[failure.status]);
        // The request itself is not shown: it may hold secrets.
        log.warn('call refused', { ...told(failure.status), error });
        throw new Refusal(
          failure.status,
          `${failure.message} (trace ${span.spanContext().traceId})`,
        );
      }
    });
  };
  const respond = async (
    call: ServerUnaryCall<Request, Answer>,
    callback: sendUnaryData<Answer>,
  ): Promise<void> => {
    let answered: Answer;
    try {
      answered = await answer(call);
    } catch (error) {
      const { status: code, message } = failureOf(error);
      callback({ code: status[code], details: message });
      return;
    }
    callback(null, answered);
  };
  return (call, callback) => void respond(call, callback);
}

function failureOf(error: unknown): { readonly status: StatusName; readonly message: string } {
  if (error instanceof Refusal) return { status: error.status, message: error.message };
  const known = toLariatError(error);
  return { status: statusOfError(known), message: `${known.message} [${known.code}]` };
}

function scopeOf(
  call: Pick<ServerUnaryCall<unknown, unknown>, 'getDeadline' | 'on' | 'cancelled'>,
): CallScope {
  const gone = new AbortController();
  if (call.cancelled) gone.abort();
  call.on('cancelled', () => gone.abort());
  const asked = call.getDeadline();
  const nowMs = Date.now();
  const givenMs = (asked instanceof Date ? asked.getTime() : asked) - nowMs;
  const leftMs = Number.isFinite(givenMs) ? givenMs - ANSWER_MS : DEFAULT_DEADLINE_MS;
  // By a clock that nobody sets.
  const endMs = performance.now() + leftMs;
  return { leftMs: () => Math.max(0, endMs - performance.now()), signal: gone.signal };
}
