import type { CommandName, RequestName } from '@lariat/contracts';
import { MessagePattern } from '@nestjs/microservices';

/** Which way a message comes to a handler. */
export type Lane = 'request' | 'command' | 'event';

export interface LaneExtras {
  readonly lane: Lane;
  readonly name: string;
  /** Durable consumer of an event handler; one a plugin and purpose, shared by its copies. */
  readonly durable?: string;
}

/** The pattern only has to be unique; what counts is in the extras. */
function onMessage(extras: LaneExtras): MethodDecorator {
  const key = extras.durable === undefined ? extras.name : `${extras.name}@${extras.durable}`;
  return MessagePattern<string>(`${extras.lane}:${key}`, { ...extras });
}

/** Answers a request of the API: `lariat.v1.<name>`. The handler gets the validated DTO. */
export const OnRequest = (name: RequestName): MethodDecorator =>
  onMessage({ lane: 'request', name });

/** Carries out a command to this node. The handler gets the CommandEnvelope. */
export const OnCommand = (name: CommandName): MethodDecorator =>
  onMessage({ lane: 'command', name });

/**
 * Is told of events, at least once, in order per object. `filter` is what follows `lariat.v1.event.`, with
 * NATS wildcards: `volume.*.replica-faulted`. The handler gets the LariatEvent; what it throws is tried again.
 */
export const OnLariatEvent = (
  filter: string,
  options: { readonly durable: string },
): MethodDecorator => onMessage({ lane: 'event', name: filter, durable: options.durable });
