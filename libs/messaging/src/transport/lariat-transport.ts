import { type CustomTransportStrategy, Server } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import type { CommandLane } from './command-lane.js';
import type { LaneExtras } from './decorators.js';
import type { EventLane } from './event-lane.js';
import type { MessageContext } from './message-context.js';
import type { Handler, RequestLane } from './request-lane.js';
import type { ServiceDiscovery } from '../service-discovery.js';

export interface Lanes {
  readonly requests: RequestLane;
  readonly commands: CommandLane | undefined;
  readonly events: EventLane;
  readonly discovery: ServiceDiscovery;
}

type RawHandler = (data: unknown, context: MessageContext) => Promise<unknown>;

/**
 * Connects Nest's handlers to NATS: each handler goes to the lane that its decorator names. Validation and
 * answers are the lanes' work, so that a request costs one pass through Nest and no pipes.
 */
export class LariatTransport extends Server implements CustomTransportStrategy {
  constructor(private readonly lanes: Lanes) {
    super();
  }

  async start(): Promise<void> {
    for (const [pattern, raw] of this.messageHandlers) {
      const extras = raw.extras as Partial<LaneExtras> | undefined;
      const handler = this.toHandler(raw as RawHandler);
      if (extras?.lane === 'request' && extras.name !== undefined)
        this.lanes.requests.serve(extras.name, handler);
      else if (
        extras?.lane === 'command' &&
        extras.name !== undefined &&
        this.lanes.commands !== undefined
      ) {
        this.lanes.commands.serve(extras.name, handler);
      } else if (
        extras?.lane === 'event' &&
        extras.name !== undefined &&
        extras.durable !== undefined
      ) {
        this.lanes.events.serve(extras.name, extras.durable, handler);
      } else {
        throw new Error(
          `'${pattern}' has no lane here: use OnRequest, OnCommand (agents only) or OnLariatEvent`,
        );
      }
    }
    await this.lanes.commands?.start();
    await this.lanes.events.start();
    this.lanes.discovery.listen();
  }

  listen(callback: (error?: unknown) => void): void {
    void this.begin(callback);
  }

  async close(): Promise<void> {
    this.lanes.discovery.close();
    await Promise.all([
      this.lanes.requests.drain(),
      this.lanes.commands?.stop(),
      this.lanes.events.stop(),
    ]);
  }

  on(event: string): never {
    throw new Error(`LariatTransport has no event '${event}'`);
  }

  unwrap<T>(): T {
    return this.lanes as T;
  }

  private async begin(callback: (error?: unknown) => void): Promise<void> {
    let failure: unknown;
    try {
      await this.start();
    } catch (error) {
      failure = error;
    }
    callback(failure);
  }

  /** Nest gives an observable or a value; its errors come as they were thrown (RethrowFilter). */
  private toHandler(raw: RawHandler): Handler {
    return async (data, context) =>
      lastValueFrom(this.transformToObservable(await raw(data, context)), {
        defaultValue: undefined,
      });
  }
}
