import type { Clock } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import type { NatsConnection } from '@nats-io/nats-core';
import type { ShareList } from '../record-lists.js';
import { RedisConnection } from './redis-connection.js';
import { RedisReadModel } from './redis-read-model.js';

export interface SharedByRedis {
  readonly share: ShareList;
  close(): void;
}

export interface ShareByRedisOptions {
  /** `redis://`, `rediss://`, or `redis:///path` of a Unix socket. */
  readonly url: string;
  readonly connection: NatsConnection;
  readonly clock: Clock;
  readonly log: Log;
}

/** Lists that all processes with the same Redis share. Not reaching it is no error: memory answers. */
export async function shareByRedis(options: ShareByRedisOptions): Promise<SharedByRedis> {
  const { url, connection, clock, log } = options;
  const store = await RedisConnection.open(url, log);
  const models = new Set<{ doubt(): void }>();
  void doubtAtReconnects(connection, models);
  return {
    share: (source, form) => {
      const model = new RedisReadModel({ source, form, store, clock, log });
      models.add(model);
      return model;
    },
    close: () => store.close(),
  };
}

/** NATS may have come back with other data. */
async function doubtAtReconnects(
  connection: NatsConnection,
  models: Iterable<{ doubt(): void }>,
): Promise<void> {
  for await (const { type } of connection.status())
    if (type === 'reconnect') for (const model of models) model.doubt();
}
