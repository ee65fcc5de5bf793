import type { NatsConnection } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { lariatError } from '@lariat/contracts';
import { delay } from '@lariat/kernel';
import { withoutSecrets } from '@lariat/telemetry';

export interface ConnectOptions {
  /** One URL, or those of several servers of a cluster with commas between them. */
  readonly servers: string;
  /** Shown by `nats server report connections`. */
  readonly name: string;
  /** How long the first connection is tried; afterwards reconnection never gives up. */
  readonly connectTimeoutMs?: number;
}

const RETRY_MS = 200;

/** A connection that survives restarts of NATS; throws NATS_UNAVAILABLE when the first try runs out. */
export async function connectNats(options: ConnectOptions): Promise<NatsConnection> {
  const servers = withoutSecrets(options.servers);
  const timeoutMs = options.connectTimeoutMs ?? 5_000;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await connect({
        servers: options.servers.split(','),
        name: options.name,
        timeout: Math.max(RETRY_MS, deadline - performance.now()),
        maxReconnectAttempts: -1,
        reconnectTimeWait: RETRY_MS,
        pingInterval: 10_000,
        // Else the client makes an Error with its stack for every request it sends, a tenth of a service's time.
        noAsyncTraces: true,
      });
    } catch (cause) {
      if (performance.now() + RETRY_MS >= deadline) {
        throw lariatError(
          'NATS_UNAVAILABLE',
          `No NATS server answers at ${servers}. Start one ('lariat up'), or give its URL with --nats or LARIAT_NATS_URL.`,
          { servers },
          cause,
        );
      }
      await delay(RETRY_MS);
    }
  }
}
