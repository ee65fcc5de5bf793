import { STREAMS } from '@lariat/contracts';
import { type ConsumerInfo, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';

/** What waits for one durable consumer. */
export interface Queue {
  readonly stream: string;
  readonly consumer: string;
  /** Not delivered yet, or delivered and not settled. */
  readonly depth: number;
  /** Of the oldest of them; 0 when there is none. */
  readonly oldestMs: number;
}

const WATCHED = [STREAMS.commands.name, STREAMS.events.name];

/** Of each durable consumer of commands and events; others are somebody's who only reads. */
export async function readQueues(
  connection: NatsConnection,
  nowMs: number,
): Promise<readonly Queue[]> {
  const manager = await jetstreamManager(connection);
  const queues: Promise<Queue>[] = [];
  for (const stream of WATCHED) {
    for await (const info of manager.consumers.list(stream))
      if (info.config.durable_name !== undefined)
        queues.push(queueOf(manager, stream, info, nowMs));
  }
  return Promise.all(queues);
}

async function queueOf(
  { streams }: JetStreamManager,
  stream: string,
  {
    name: consumer,
    config,
    num_pending: waiting,
    num_ack_pending: unsettled,
    ack_floor: floor,
  }: ConsumerInfo,
  nowMs: number,
): Promise<Queue> {
  const depth = waiting + unsettled;
  const none = { stream, consumer, depth, oldestMs: 0 };
  if (depth === 0) return none;
  const query = { seq: floor.stream_seq + 1, next_by_subj: config.filter_subject ?? '>' };
  // It may have been settled in the meantime.
  const oldest = await streams.getMessage(stream, query).catch(() => null);
  return oldest === null ? none : { ...none, oldestMs: Math.max(0, nowMs - oldest.time.getTime()) };
}
