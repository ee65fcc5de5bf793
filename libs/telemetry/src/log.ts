import { context, trace } from '@opentelemetry/api';
import { withoutSecrets } from './without-secrets.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/** One JSON line an event: a constant message and fields, with the ids of the active trace. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

const SEVERITY: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

function plain(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { name, message, stack, cause } = value;
  const code = 'code' in value ? value.code : undefined;
  return { name, message, code, stack, ...(cause === undefined ? {} : { cause: plain(cause) }) };
}

/** Logs to stderr, so that stdout is left to what a program answers. */
export function createLog(
  service: string,
  level: LogLevel = 'info',
  write: (line: string) => void = toStderr,
): Log {
  const at =
    (severity: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (SEVERITY[severity] < SEVERITY[level]) return;
      const span = trace.getSpanContext(context.active());
      const ids = span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
      const values = Object.fromEntries(
        Object.entries(fields).map(([key, value]) => [key, plain(value)]),
      );
      const line = JSON.stringify({
        time: new Date().toISOString(),
        level: severity,
        service,
        message,
        ...ids,
        ...values,
      });
      write(withoutSecrets(line));
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function toStderr(line: string): void {
  process.stderr.write(`${line}\n`);
}
