import { SUBJECT_PREFIX, instanceSubject } from '@lariat/contracts';
import type { NatsConnection, Subscription } from '@nats-io/nats-core';

const BEAT_MS = 500;
/** An instance that was not heard for this long is taken for dead; its sagas are taken up. */
export const DEAD_AFTER_MS = 3_000;

const GONE = new TextEncoder().encode('gone');

/**
 * Who is alive, told over core NATS. A wrong verdict costs nothing but work: a take-over is a compare-and-set
 * with a new fence, so the one that was taken for dead can no longer write.
 */
export class Liveness {
  private readonly heardAtMs = new Map<string, number>();
  private readonly subscription: Subscription;
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly connection: NatsConnection,
    private readonly instance: string,
    private readonly monotonicMs: () => number,
  ) {
    const prefix = instanceSubject('');
    this.subscription = connection.subscribe(`${SUBJECT_PREFIX}.instance.*`, {
      callback: (error, message) => {
        if (error !== null) return;
        const other = message.subject.slice(prefix.length);
        this.heardAtMs.set(
          other,
          message.data.length > 0 ? Number.NEGATIVE_INFINITY : this.monotonicMs(),
        );
      },
    });
    this.timer = setInterval(() => this.beat(), BEAT_MS);
    this.beat();
  }

  /** False once the instance has said goodbye, or was silent for DEAD_AFTER_MS since it was first asked for. */
  isAlive(instance: string): boolean {
    if (instance === this.instance) return true;
    const heard = this.heardAtMs.get(instance);
    if (heard === undefined) {
      this.heardAtMs.set(instance, this.monotonicMs());
      return true;
    }
    return this.monotonicMs() - heard < DEAD_AFTER_MS;
  }

  /** Says goodbye, so that others need not wait. */
  close(): void {
    clearInterval(this.timer);
    this.subscription.unsubscribe();
    if (!this.connection.isClosed()) this.connection.publish(instanceSubject(this.instance), GONE);
  }

  private beat(): void {
    if (!this.connection.isClosed()) this.connection.publish(instanceSubject(this.instance));
  }
}
