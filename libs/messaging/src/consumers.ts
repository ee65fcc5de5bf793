import { STREAMS, commandConsumer, commandSubject, eventFilter } from '@lariat/contracts';
import { delay, toLariatError } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import { AckPolicy, DeliverPolicy, jetstreamManager } from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/nats-core';

/** After the death of an agent its commands come again this soon; `working` keeps those of a live one. */
export const COMMAND_ACK_WAIT_MS = 3_000;
/** An event of an instance that died comes again this late; `working` keeps those of a live one. */
export const EVENT_ACK_WAIT_MS = 30_000;

/** What the agent of a node takes its commands from; that it is there already is fine. */
export async function makeCommandConsumer(connection: NatsConnection, node: string): Promise<void> {
  const manager = await jetstreamManager(connection);
  await manager.consumers.add(STREAMS.commands.name, {
    durable_name: commandConsumer(node),
    filter_subject: commandSubject(node, '>'),
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    ack_wait: nanos(COMMAND_ACK_WAIT_MS),
    max_ack_pending: 4096,
  });
}

/** What a service or a plugin hears events from; one that is there gets the filter. */
export async function makeEventConsumer(
  connection: NatsConnection,
  consumer: string,
  filter: string,
): Promise<void> {
  const manager = await jetstreamManager(connection);
  await manager.consumers.add(STREAMS.events.name, {
    durable_name: consumer,
    filter_subject: eventFilter(filter),
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.New,
    ack_wait: nanos(EVENT_ACK_WAIT_MS),
    max_ack_pending: 64,
  });
}

const ASK_AGAIN_MS = 500;

/**
 * For those who may not make consumers: asks a service to, until it has. Rejects with what is final, and when the signal
 * aborts.
 */
export async function askForConsumer(
  what: string,
  ask: () => Promise<unknown>,
  log: Pick<Log, 'warn'>,
  signal: AbortSignal,
): Promise<void> {
  let said = '';
  for (;;) {
    try {
      await ask();
      return;
    } catch (reason) {
      const { kind, message } = toLariatError(reason);
      if (signal.aborted || kind === 'invalid' || kind === 'precondition') throw reason;
      if (message !== said) log.warn('waiting for a service', { for: what, error: message });
      said = message;
      await delay(ASK_AGAIN_MS, signal);
    }
  }
}
