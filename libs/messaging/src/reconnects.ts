import type { NatsConnection } from '@nats-io/nats-core';

/**
 * Tells when a connection is there again after it was lost: what waits for an answer then may wait in vain, since
 * core NATS keeps neither requests nor replies over the death of a server.
 */
export class Reconnects {
  private readonly listeners = new Set<() => void>();

  constructor(connection: NatsConnection) {
    void this.watch(connection);
  }

  /** Answers what ends the listening. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Ends when the connection is closed. */
  private async watch(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status())
      if (type === 'reconnect') for (const listener of [...this.listeners]) listener();
  }
}
