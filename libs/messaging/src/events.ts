import { type LariatEvent, STREAMS, eventFilter } from '@lariat/contracts';
import { DeliverPolicy, jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { QUICK_HEARTBEATS } from './heartbeats.js';

export interface ReadEventsOptions {
  /** What follows `lariat.v1.event.`, with NATS wildcards; default all. */
  readonly filter?: string;
  /** False: those that are kept, then the end. True: goes on with what comes. */
  readonly follow: boolean;
  /** With `follow`: only what comes from now on. */
  readonly fromNow?: boolean;
  readonly signal?: AbortSignal;
}

/** Events from the stream, oldest first, in order. */
export async function* readEvents(
  connection: NatsConnection,
  options: ReadEventsOptions,
): AsyncGenerator<LariatEvent> {
  const consumer = await jetstream(connection).consumers.get(STREAMS.events.name, {
    filter_subjects: eventFilter(options.filter ?? '>'),
    deliver_policy: options.fromNow === true ? DeliverPolicy.New : DeliverPolicy.All,
  });
  const { num_pending: kept } = await consumer.info();
  if (!options.follow && kept === 0) return;
  const messages = await consumer.consume(QUICK_HEARTBEATS);
  options.signal?.addEventListener('abort', () => messages.stop(), { once: true });
  for await (const message of messages) {
    yield message.json<LariatEvent>();
    if (!options.follow && message.info.pending === 0) return;
  }
}
