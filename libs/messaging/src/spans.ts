import { SPANS_SUBJECT, STREAMS } from '@lariat/contracts';
import type { SpanRecord, SpanSink } from '@lariat/telemetry';
import type { NatsConnection } from '@nats-io/nats-core';
import { encodeJson } from './json.js';
import { readStream } from './read-stream.js';

/** nats-server refuses messages over 1 MiB; spans are far smaller than this share of it. */
const SPANS_PER_MESSAGE = 256;

/** Sends finished spans to the stream of recent spans; nobody waits for it, and nothing fails without it. */
export function natsSpanSink(connection: NatsConnection): SpanSink {
  return (spans) => {
    if (connection.isClosed()) return;
    for (let start = 0; start < spans.length; start += SPANS_PER_MESSAGE) {
      connection.publish(SPANS_SUBJECT, encodeJson(spans.slice(start, start + SPANS_PER_MESSAGE)));
    }
  };
}

/** All kept spans of a trace, in order of their start. */
export async function readTrace(
  connection: NatsConnection,
  traceId: string,
): Promise<readonly SpanRecord[]> {
  const found: SpanRecord[] = [];
  const messages = readStream(connection, STREAMS.spans.name, {
    subject: SPANS_SUBJECT,
    after: 0,
    follow: false,
  });
  for await (const message of messages)
    for (const span of message.json<readonly SpanRecord[]>())
      if (span.traceId === traceId) found.push(span);
  return found.toSorted((a, b) => a.startMs - b.startMs);
}
