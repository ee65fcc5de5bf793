import { type AsyncNotice, encodeNotice } from '../nvme/async-event.js';
import { Status } from '../nvme/status.js';
import type { CommandOutcome, CommandResult } from './command.js';

/** AERL + 1. */
export const ASYNC_EVENT_LIMIT = 4;

/**
 * A controller's asynchronous events. After a notice is sent, further ones of its kind wait until the host has
 * read the log page that the notice names (NVMe base spec, Asynchronous Event Request).
 */
export class AsyncEvents {
  private readonly requests = new Map<number, (result: CommandResult) => void>();
  private readonly pending = new Set<AsyncNotice>();
  private readonly masked = new Set<AsyncNotice>();
  /** The Asynchronous Event Configuration feature. */
  configuration: number;

  constructor(configuration: number) {
    this.configuration = configuration;
  }

  request(commandId: number): CommandOutcome {
    if (this.requests.size >= ASYNC_EVENT_LIMIT) return { status: Status.asyncEventLimitExceeded };
    const result = new Promise<CommandResult>((resolve) => this.requests.set(commandId, resolve));
    this.deliver();
    return result;
  }

  /** True when the request was outstanding, and is completed as aborted. */
  abort(commandId: number): boolean {
    const resolve = this.requests.get(commandId);
    this.requests.delete(commandId);
    resolve?.({ status: Status.abortedByRequest });
    return resolve !== undefined;
  }

  raise(notice: AsyncNotice): void {
    if (notice.enable !== undefined && (this.configuration & notice.enable) === 0) return;
    this.pending.add(notice);
    this.deliver();
  }

  /** What the event would tell of is gone: it is not sent if it has not been yet. */
  withdraw(notice: AsyncNotice): void {
    this.pending.delete(notice);
  }

  /** The host has read `logPage` without asking to retain the event. */
  logPageRead(logPage: number): void {
    for (const notice of this.masked) if (notice.logPage === logPage) this.masked.delete(notice);
    this.deliver();
  }

  private deliver(): void {
    for (const notice of this.pending) {
      if (this.masked.has(notice)) continue;
      const [first] = this.requests;
      if (first === undefined) return;
      const [commandId, resolve] = first;
      this.requests.delete(commandId);
      this.pending.delete(notice);
      this.masked.add(notice);
      resolve({ status: Status.success, dword0: encodeNotice(notice) });
    }
  }
}
