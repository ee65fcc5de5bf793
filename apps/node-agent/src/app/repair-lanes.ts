import { toLariatError, type KeyedQueue } from '@lariat/kernel';
import type { LogPort } from '../ports/log.port.js';

/**
 * Where repairs are made: in the lane of the commands on the object, so that the two never meet, and one at a time of each
 * object, however often its watch finds it. A failure is told once, and again when it is another one.
 */
export class RepairLanes {
  private readonly busy = new Set<string>();
  private readonly told = new Map<string, string>();

  constructor(
    private readonly queue: KeyedQueue,
    private readonly log: LogPort,
  ) {}

  run(lane: string, what: string, task: () => Promise<void>): void {
    if (this.busy.has(what)) return;
    this.busy.add(what);
    void this.queue
      .run(lane, task)
      .then(() => this.told.delete(what))
      .catch((reason: unknown) => {
        const { message } = toLariatError(reason);
        if (this.told.get(what) !== message)
          this.log.warn('could not be put right', { what, error: message });
        this.told.set(what, message);
      })
      .finally(() => this.busy.delete(what));
  }
}
