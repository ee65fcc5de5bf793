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

export interface WantedConsumer {
  readonly connection: NatsConnection;
  readonly stream: string;
  readonly consumer: string;
  readonly filter: string;
  /** Has a service make it. */
  readonly ask: () => Promise<unknown>;
  readonly log: Pick<Log, 'warn'>;
}

/**
 * For those who may not make consumers: asks a service to, until it has. One that is there needs no service. Rejects with
 * what is final, and when the signal aborts.
 */
export async function askForConsumer(wanted: WantedConsumer, signal: AbortSignal): Promise<void> {
  const { ask, consumer, log } = wanted;
  let said = '';
  while (!(await isThere(wanted))) {
    try {
      await ask();
      return;
    } catch (reason) {
      const { kind, message } = toLariatError(reason);
      if (signal.aborted || kind === 'invalid' || kind === 'precondition') throw reason;
      if (message !== said) log.warn('waiting for a service', { consumer, error: message });
      said = message;
      await delay(ASK_AGAIN_MS, signal);
    }
  }
}

async function isThere({ connection, stream, consumer, filter }: WantedConsumer): Promise<boolean> {
  try {
    const manager = await jetstreamManager(connection, { checkAPI: false });
    const { config } = await manager.consumers.info(stream, consumer);
    return config.filter_subject === filter;
  } catch {
    // Not there, or not known whether: it is asked for, which does no harm.
    return false;
  }
}
