import { type LariatEvent, STREAMS, eventFilter } from '@lariat/contracts';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { readStream } from './read-stream.js';

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
  const { fromNow, follow, signal } = options;
  const after = options.after ?? (fromNow === true ? await endOfEvents(connection) : 0);
  const messages = readStream(connection, STREAMS.events.name, {
    subject: eventFilter(options.filter ?? '>'),
    after,
    follow,
    ...(signal === undefined ? {} : { signal }),
  });
  for await (const message of messages)
    yield { ...message.json<LariatEvent>(), position: message.seq };
}
