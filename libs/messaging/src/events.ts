import { type LariatEvent, STREAMS, eventFilter } from '@lariat/contracts';
import {
  type ConsumerConfig,
  DeliverPolicy,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { QUICK_HEARTBEATS } from './heartbeats.js';

export interface ReadEventsOptions {
  /** What follows `lariat.v1.event.`, with NATS wildcards; default all. */
  readonly filter?: string;
  /** False: those that are kept, then the end. True: goes on with what comes. */
  readonly follow: boolean;
  /** With `follow`: only what comes from now on. */
  readonly fromNow?: boolean;
  /** Those whose place in the stream is after this one; a reader that notes each place can go on where it was. */
  readonly after?: number;
  readonly signal?: AbortSignal;
}

/** An event with its place in the stream, which grows from one to the next, with gaps. */
export interface FeedEvent extends LariatEvent {
  readonly position: number;
}

function beginOf({ after, fromNow }: ReadEventsOptions): Partial<ConsumerConfig> {
  if (after !== undefined)
    return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: after + 1 };
  return { deliver_policy: fromNow === true ? DeliverPolicy.New : DeliverPolicy.All };
}

/** The place of the newest event. */
export async function endOfEvents(connection: NatsConnection): Promise<number> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  return (await manager.streams.info(STREAMS.events.name)).state.last_seq;
}

/** Events from the stream, oldest first, in order. */
export async function* readEvents(
  connection: NatsConnection,
  options: ReadEventsOptions,
): AsyncGenerator<FeedEvent> {
  const consumer = await jetstream(connection).consumers.get(STREAMS.events.name, {
    filter_subjects: eventFilter(options.filter ?? '>'),
    ...beginOf(options),
  });
  const { num_pending: kept } = await consumer.info();
  if (!options.follow && kept === 0) return;
  const messages = await consumer.consume(QUICK_HEARTBEATS);
  options.signal?.addEventListener('abort', () => messages.stop(), { once: true });
  for await (const message of messages) {
    yield { ...message.json<LariatEvent>(), position: message.seq };
    if (!options.follow && message.info.pending === 0) return;
  }
}
