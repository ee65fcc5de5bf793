import { lariatError } from '@lariat/contracts';
import { backoffMs, delay, toLariatError, withDeadline, type Clock } from '@lariat/kernel';
import type { LogPort } from '../ports/log.port.js';
import type { TargetLife } from '../ports/target.port.js';
import type { Restore } from './restore.js';

export interface TargetKeeperParts {
  readonly life: TargetLife;
  readonly restore: Restore;
  readonly clock: Clock;
  readonly log: LogPort;
  /** Called each time the target has been put back. */
  readonly onReady: () => void;
}

const RESTART_BACKOFF = { initialMs: 50, maxMs: 5_000, factor: 2 };
/** To look whether others have started theirs costs next to nothing, and its users wait for it. */
const REACH_BACKOFF = { initialMs: 50, maxMs: 500, factor: 2 };
/** A target that has run this long starts the backoff anew. */
const SETTLED_AFTER_MS = 10_000;

/** Keeps a target running: adopts or starts it, puts it back, and does so again whenever it is lost. */
export class TargetKeeper {
  /** Whether the target was running before this agent. */
  adopted = false;
  private isReady = false;
  /** The end of a target that is to be started anew. */
  private ending: Promise<void> | undefined;
  private lastFault: string | undefined;
  private readonly stopping = new AbortController();
  private readonly waiters = new Set<() => void>();
  private loop: Promise<void> | undefined;

  constructor(private readonly parts: TargetKeeperParts) {}

  get ready(): boolean {
    return this.isReady;
  }

  /** Why there is no target; undefined while there is one. */
  get fault(): string | undefined {
    return this.isReady ? undefined : (this.lastFault ?? 'it is being put back');
  }

  /**
   * The first start's failure is thrown: it is a wrong configuration more often than not. A target of others may come
   * when it likes.
   */
  async start(): Promise<void> {
    const { life } = this.parts;
    this.adopted = !life.isOurs;
    // Known before it is put back: whoever ends this start because that failed must not end a target that was running.
    if (life.isOurs) await this.bringUp((adopted) => (this.adopted = adopted));
    else await this.tryBringUp(1);
    this.loop = this.keep();
  }

  /** Resolves when the target has been put back; TARGET_UNAVAILABLE after `timeoutMs`. */
  async whenReady(timeoutMs: number): Promise<void> {
    if (this.isReady) return;
    let waiter: (() => void) | undefined;
    const ready = new Promise<void>((resolve) => {
      waiter = resolve;
      this.waiters.add(resolve);
    });
    try {
      await withDeadline('the target', timeoutMs, ready);
    } catch (cause) {
      throw lariatError(
        'TARGET_UNAVAILABLE',
        this.parts.life.isOurs
          ? "this node's target is down and being restarted; try again"
          : `this node's target, which others start, does not answer: ${this.fault}`,
        undefined,
        cause,
      );
    } finally {
      if (waiter !== undefined) this.waiters.delete(waiter);
    }
  }

  /** Ends the target, for it to be started again and put back as if it had been lost. */
  async restart(deadlineMs: number): Promise<void> {
    // No one is to ask it any more: what it no longer answers would be taken for a fault.
    this.isReady = false;
    this.ending = this.parts.life.stop(deadlineMs);
    try {
      await this.ending;
    } finally {
      this.ending = undefined;
    }
  }

  /** Ends the supervision, and with `target` the target itself. */
  async stop(target: boolean, deadlineMs: number): Promise<void> {
    this.isReady = false;
    this.stopping.abort();
    if (target) await this.parts.life.stop(deadlineMs);
    this.parts.life.disconnect();
    await this.loop;
  }

  private async keep(): Promise<void> {
    const { life, clock, log } = this.parts;
    const { signal } = this.stopping;
    let isUp = this.isReady;
    let attempt = isUp ? 0 : 1;
    let upSinceMs = clock.monotonicMs();
    while (!signal.aborted) {
      if (isUp) {
        const reason = await life.lost;
        this.isReady = false;
        this.lastFault = reason;
        if (signal.aborted) return;
        log.warn('target lost', { reason });
        // Its connection ends before it does, and what is about to end must not be adopted.
        const wasAsked = this.ending !== undefined;
        await this.ending?.catch(() => undefined);
        if (wasAsked) attempt = 0;
        if (clock.monotonicMs() - upSinceMs > SETTLED_AFTER_MS) attempt = 0;
      }
      const backoff = life.isOurs ? RESTART_BACKOFF : REACH_BACKOFF;
      if (attempt > 0) await delay(backoffMs(backoff, attempt), signal);
      if (signal.aborted) return;
      attempt += 1;
      await this.tryBringUp(attempt);
      isUp = this.isReady;
      if (isUp) upSinceMs = clock.monotonicMs();
    }
  }

  private async tryBringUp(attempt: number): Promise<void> {
    try {
      await this.bringUp();
    } catch (reason) {
      const { message } = toLariatError(reason);
      // Said once: a target of others may stay away for as long as they like.
      if (message !== this.lastFault)
        this.parts.log.error('target does not come up', { attempt, error: message });
      this.lastFault = message;
    }
  }

  private async bringUp(opened: (adopted: boolean) => void = () => undefined): Promise<void> {
    const { life, restore, clock, log } = this.parts;
    const beganMs = clock.monotonicMs();
    const { adopted } = await life.open();
    opened(adopted);
    await restore.all();
    this.isReady = true;
    log.info('target ready', {
      adopted,
      pid: life.process()?.pid,
      afterMs: Math.round(clock.monotonicMs() - beganMs),
    });
    for (const waiter of this.waiters) waiter();
    this.parts.onReady();
  }
}
