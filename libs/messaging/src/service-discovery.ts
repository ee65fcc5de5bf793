import type { Msg, NatsConnection, Subscription } from '@nats-io/nats-core';
import { encodeJson } from './json.js';

export interface ServiceIdentity {
  /** A-Z, a-z, 0-9, '-' and '_'. */
  readonly name: string;
  readonly instance: string;
  /** Semantic version. */
  readonly version: string;
  readonly description: string;
}

export interface EndpointStats {
  served(milliseconds: number): void;
  failed(message: string): void;
}

const NANOSECONDS_PER_MS = 1e6;

class Endpoint implements EndpointStats {
  private requests = 0;
  private errors = 0;
  private lastError = '';
  private totalMs = 0;

  constructor(
    private readonly name: string,
    private readonly subject: string,
    private readonly queue: string,
  ) {}

  served(milliseconds: number): void {
    this.requests += 1;
    this.totalMs += milliseconds;
  }

  failed(message: string): void {
    this.errors += 1;
    this.lastError = message;
  }

  info(): object {
    return { name: this.name, subject: this.subject, queue_group: this.queue, metadata: {} };
  }

  stats(): object {
    const totalNs = Math.round(this.totalMs * NANOSECONDS_PER_MS);
    return {
      name: this.name,
      subject: this.subject,
      queue_group: this.queue,
      num_requests: this.requests,
      num_errors: this.errors,
      last_error: this.lastError,
      processing_time: totalNs,
      average_processing_time: this.requests === 0 ? 0 : Math.round(totalNs / this.requests),
    };
  }
}

/**
 * Answers `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS` as NATS' service API (ADR-32) says, so that `nats micro ls`
 * and its like see the service. By hand, since the registry's @nats-io/services is a prerelease against
 * another nats-core.
 */
export class ServiceDiscovery {
  private readonly endpoints: Endpoint[] = [];
  private readonly started = new Date().toISOString();
  private readonly subscriptions: Subscription[] = [];

  constructor(
    private readonly connection: NatsConnection,
    private readonly identity: ServiceIdentity,
    /** More fields of STATS, beside what ADR-32 names; its readers pass over those that they do not know. */
    private readonly more: Readonly<Record<string, () => unknown>>,
  ) {}

  addEndpoint(name: string, subject: string, queue: string): EndpointStats {
    const endpoint = new Endpoint(name, subject, queue);
    this.endpoints.push(endpoint);
    return endpoint;
  }

  listen(): void {
    const answers: Readonly<Record<string, () => object>> = {
      PING: () => ({ type: 'io.nats.micro.v1.ping_response' }),
      INFO: () => ({
        type: 'io.nats.micro.v1.info_response',
        description: this.identity.description,
        endpoints: this.endpoints.map((endpoint) => endpoint.info()),
      }),
      STATS: () => ({
        type: 'io.nats.micro.v1.stats_response',
        started: this.started,
        endpoints: this.endpoints.map((endpoint) => endpoint.stats()),
        ...Object.fromEntries(Object.entries(this.more).map(([field, view]) => [field, view()])),
      }),
    };
    const { name, instance, version } = this.identity;
    for (const [verb, answer] of Object.entries(answers)) {
      const callback = (error: Error | null, message: Msg): void => {
        if (error === null)
          message.respond(encodeJson({ name, id: instance, version, metadata: {}, ...answer() }));
      };
      for (const subject of [
        `$SRV.${verb}`,
        `$SRV.${verb}.${name}`,
        `$SRV.${verb}.${name}.${instance}`,
      ]) {
        this.subscriptions.push(this.connection.subscribe(subject, { callback }));
      }
    }
  }

  close(): void {
    for (const subscription of this.subscriptions) subscription.unsubscribe();
  }
}
