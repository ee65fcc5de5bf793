import { toLariatError } from '@lariat/kernel';

interface Closable {
  close(): Promise<void>;
}

/** What an import has open, and the signal that ends all its parts when one of them fails. */
export class ImportResources {
  private readonly stop = new AbortController();
  private readonly open: Closable[] = [];
  private readonly cancel = (): void => this.stop.abort(this.given.reason);

  constructor(private readonly given: AbortSignal) {
    if (given.aborted) this.cancel();
    given.addEventListener('abort', this.cancel);
  }

  get signal(): AbortSignal {
    return this.stop.signal;
  }

  add<T extends Closable>(resource: T): T {
    this.open.push(resource);
    return resource;
  }

  /** Ends what is still at work; whatever waits for it is told this reason. */
  fail(reason: unknown): void {
    this.stop.abort(toLariatError(reason));
  }

  /** Closes all, the last first; a failure to close one keeps no other open. */
  async close(): Promise<void> {
    this.given.removeEventListener('abort', this.cancel);
    this.stop.abort();
    let failure: unknown;
    for (const resource of this.open.splice(0).toReversed()) {
      try {
        await resource.close();
      } catch (reason) {
        failure ??= reason;
      }
    }
    if (failure !== undefined) throw toLariatError(failure);
  }
}
