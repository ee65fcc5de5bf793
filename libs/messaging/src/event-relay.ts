import { BUCKETS, HEADERS, type LariatEvent, STREAMS, eventSubject } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import {
  DeliverPolicy,
  type JetStreamClient,
  type JsMsg,
  type PubAck,
  jetstream,
} from '@nats-io/jetstream';
import { type KV, Kvm } from '@nats-io/kv';
import { type NatsConnection, headers } from '@nats-io/nats-core';
import { isWrongLastSequence } from './compare-and-set.js';
import { QUICK_HEARTBEATS } from './heartbeats.js';
import { encodeJson } from './json.js';
import type { StoredRecord } from './record-bucket.js';
import { bucketReplicas } from './stream-replicas.js';

export interface EventRelayOptions {
  readonly connection: NatsConnection;
  readonly bucket: string;
  readonly log: Log;
}

const PROGRESS_EVERY = 256;
const RETRY_MS = 500;

/**
 * Tells the events that are stored with the records: reads the bucket's stream in order and publishes each
 * event to LARIAT_EVENTS. At least once, in order per object; duplicates within ten minutes are dropped by
 * their message id. Run by one instance at a time (Lease).
 */
export async function relayEvents(options: EventRelayOptions, signal: AbortSignal): Promise<void> {
  const js = jetstream(options.connection);
  const progress = await new Kvm(js).create(BUCKETS.leases, {
    history: 1,
    ...bucketReplicas(),
  });
  while (!signal.aborted) {
    try {
      await relayFrom(js, progress, options, signal);
    } catch (error) {
      if (signal.aborted || options.connection.isClosed()) return;
      options.log.warn('event relay interrupted', { bucket: options.bucket, error });
      await delay(RETRY_MS, signal);
    }
  }
}

async function relayFrom(
  js: JetStreamClient,
  progress: KV,
  options: EventRelayOptions,
  signal: AbortSignal,
): Promise<void> {
  const progressKey = `relay.${options.bucket}`;
  const entry = await progress.get(progressKey);
  const told = entry === null ? 0 : Number(entry.string());
  const consumer = await js.consumers.get(`KV_${options.bucket}`, {
    deliver_policy: DeliverPolicy.StartSequence,
    opt_start_seq: told + 1,
  });
  const messages = await consumer.consume({ max_messages: 512, ...QUICK_HEARTBEATS });
  signal.addEventListener('abort', () => messages.stop(), { once: true });
  if (signal.aborted) messages.stop();
  let pending: Promise<PubAck>[] = [];
  let sinceProgress = 0;
  for await (const message of messages) {
    pending.push(...publishEvents(js, message));
    const isBatch = pending.length >= PROGRESS_EVERY;
    const isGone = isTombstone(message);
    if (!isBatch && !isGone && message.info.pending > 0) continue;
    await Promise.all(pending);
    pending = [];
    // It goes only when its last events are told, and is not behind what is noted before it is gone.
    if (isGone) await sweepTombstone(js, options.bucket, message);
    sinceProgress += 1;
    if (isBatch || sinceProgress >= PROGRESS_EVERY || signal.aborted) {
      await progress.put(progressKey, String(message.seq));
      sinceProgress = 0;
    }
  }
  await Promise.all(pending);
}

const isTombstone = (message: JsMsg): boolean => storedOf(message)?.value === null;

function storedOf(message: JsMsg): StoredRecord<unknown> | undefined {
  // Delete and purge markers have no body.
  if (message.data.length === 0) return undefined;
  return message.json<StoredRecord<unknown>>();
}

function publishEvents(js: JetStreamClient, message: JsMsg): Promise<PubAck>[] {
  const events: readonly LariatEvent[] = storedOf(message)?.events ?? [];
  return events.map((event) => {
    const head = headers();
    // With the stored message's own number: a key that is used again counts its events from 1 again.
    head.set(HEADERS.messageId, `${event.id}@${message.seq}`);
    const traceparent = message.headers?.get(HEADERS.traceparent);
    if (traceparent !== undefined && traceparent !== '') head.set(HEADERS.traceparent, traceparent);
    const told = js.publish(
      eventSubject(event.kind, event.objectId, event.type),
      encodeJson(event),
      {
        headers: head,
        expect: { streamName: STREAMS.events.name },
      },
    );
    // Awaited with the others of its batch; until then its failure must not count as unhandled.
    told.catch(() => undefined);
    return told;
  });
}

/** A tombstone has done its work once its events are told. */
async function sweepTombstone(js: JetStreamClient, bucket: string, message: JsMsg): Promise<void> {
  const key = message.subject.slice(`$KV.${bucket}.`.length);
  const kv = await new Kvm(js).open(bucket);
  try {
    await kv.purge(key, { previousSeq: message.seq });
  } catch (error) {
    // The name is in use again, or was swept before: nothing is left to do.
    if (!isWrongLastSequence(error)) throw error;
  }
}
