import { STREAMS } from '@lariat/contracts';
import {
  type JetStreamManager,
  type StreamConfig,
  RetentionPolicy,
  StorageType,
} from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/nats-core';
import { jetstreamManager } from '@nats-io/jetstream';
import { isNatsAway } from './nats-away.js';
import { wantedReplicas } from './stream-replicas.js';

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;

type WantedStream = Pick<StreamConfig, 'name' | 'subjects'> & Partial<StreamConfig>;

/** How long the same event or command id is recognised as a duplicate. */
const DUPLICATE_WINDOW_MS = 10 * 60_000;

/** What each stream must be. Only features of nats-server 2.9 (research/style.md section 4). */
const WANTED: readonly WantedStream[] = [
  {
    name: STREAMS.events.name,
    subjects: [...STREAMS.events.subjects],
    max_age: nanos(7 * 24 * HOUR_MS),
    max_bytes: 1024 * MIB,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
  },
  {
    name: STREAMS.commands.name,
    subjects: [...STREAMS.commands.subjects],
    retention: RetentionPolicy.Workqueue,
    // Commands carry deadlines of their own; this only bounds what a node that is gone leaves behind.
    max_age: nanos(HOUR_MS),
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
  },
  {
    name: STREAMS.deadLetters.name,
    subjects: [...STREAMS.deadLetters.subjects],
    max_bytes: 256 * MIB,
  },
  {
    name: STREAMS.audit.name,
    subjects: [...STREAMS.audit.subjects],
    max_age: nanos(90 * 24 * HOUR_MS),
    max_bytes: 512 * MIB,
    // What is on the trail is taken off it by age alone.
    deny_delete: true,
    deny_purge: true,
  },
  {
    name: STREAMS.spans.name,
    subjects: [...STREAMS.spans.subjects],
    storage: StorageType.Memory,
    max_age: nanos(HOUR_MS),
    max_bytes: 64 * MIB,
  },
];

async function ensure(manager: JetStreamManager, wanted: WantedStream): Promise<void> {
  const replicas = wantedReplicas();
  const config = { storage: StorageType.File, ...wanted };
  // A process that was not told how many must not take copies away.
  const update = replicas === undefined ? config : { ...config, num_replicas: replicas };
  try {
    await manager.streams.add({ ...config, num_replicas: replicas ?? 1 });
  } catch (error) {
    if (isNatsAway(error)) throw error;
    // Made before with other limits, or by another process at the same moment: bring it up to date.
    await manager.streams.update(wanted.name, update).catch((cause: unknown) => {
      if (isNatsAway(cause)) throw cause;
      throw new Error(`stream ${wanted.name} can be neither made nor updated: ${String(error)}`, {
        cause,
      });
    });
  }
}

/** Makes or updates all streams; safe to call from several processes at once. */
export async function ensureStreams(connection: NatsConnection): Promise<void> {
  const manager = await jetstreamManager(connection);
  await Promise.all(WANTED.map((wanted) => ensure(manager, wanted)));
}
