import type { Log } from '@lariat/telemetry';
import type { LoggerService } from '@nestjs/common';

/** Nest's own words in our log; its start-up chatter only at debug. */
export class NestLog implements LoggerService {
  constructor(private readonly to: Log) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.to.debug('nest', { text: String(message), context: rest.at(-1) });
  }

  verbose(message: unknown): void {
    this.to.debug('nest', { text: String(message) });
  }

  debug(message: unknown): void {
    this.to.debug('nest', { text: String(message) });
  }

  warn(message: unknown, ...rest: unknown[]): void {
    this.to.warn('nest', { text: String(message), context: rest.at(-1) });
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.to.error('nest', { text: String(message), context: rest.map(String) });
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.to.error('nest', { text: String(message), context: rest.map(String) });
  }
}
