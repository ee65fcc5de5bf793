import { MIB } from '@lariat/kernel';

/** Limits per second as bdev_set_qos_limit names them; 0 is unlimited. */
export interface RateLimitValues {
  readonly rw_ios_per_sec: number;
  readonly rw_mbytes_per_sec: number;
  readonly r_mbytes_per_sec: number;
  readonly w_mbytes_per_sec: number;
}
export type RateLimitName = keyof RateLimitValues;
export const RATE_LIMIT_NAMES: readonly RateLimitName[] = [
  'rw_ios_per_sec',
  'rw_mbytes_per_sec',
  'r_mbytes_per_sec',
  'w_mbytes_per_sec',
];

/** SPDK_BDEV_QOS_MIN_IOS_PER_SEC: a limit of I/Os is rounded up to a multiple of it. */
const IOS_STEP = 1000;
/** How far I/O may run ahead of its rate: timers are no finer than a millisecond. */
const BURST_MS = 5;

/** Spaces I/O out so that no limit is passed, first come first served. */
export class RateLimits {
  private limits: RateLimitValues = {
    rw_ios_per_sec: 0,
    rw_mbytes_per_sec: 0,
    r_mbytes_per_sec: 0,
    w_mbytes_per_sec: 0,
  };
  /** When each limit's budget is used up to, on the monotonic clock. */
  private readonly spentUntilMs = new Map<RateLimitName, number>();
  private active = false;
  /** I/O that waits for its time; a change of the limits wakes it to ask anew. */
  private readonly waiting = new Set<() => void>();

  constructor(private readonly nowMs: () => number = () => performance.now()) {}

  get values(): RateLimitValues {
    return this.limits;
  }

  set(changes: Partial<Record<RateLimitName, number | undefined>>): void {
    const limits: Record<RateLimitName, number> = { ...this.limits };
    for (const name of RATE_LIMIT_NAMES) {
      const value = changes[name];
      if (value === undefined) continue;
      limits[name] = name === 'rw_ios_per_sec' ? Math.ceil(value / IOS_STEP) * IOS_STEP : value;
    }
    this.limits = limits;
    this.spentUntilMs.clear();
    this.active = RATE_LIMIT_NAMES.some((name) => limits[name] > 0);
    for (const wake of this.waiting) wake();
  }

  /** Resolves when the I/O may start; undefined when that is now. */
  admit(isRead: boolean, lengthBytes: number): Promise<void> | undefined {
    if (!this.active) return undefined;
    const waitMs = this.spend(isRead, lengthBytes);
    return waitMs <= 0 ? undefined : this.wait(isRead, lengthBytes, waitMs);
  }

  private async wait(isRead: boolean, lengthBytes: number, firstWaitMs: number): Promise<void> {
    let waitMs = firstWaitMs;
    while (waitMs > 0) {
      const isDue = await this.sleep(waitMs);
      if (isDue || !this.active) return;
      waitMs = this.spend(isRead, lengthBytes);
    }
  }

  /** False when the limits have changed meanwhile. */
  private sleep(waitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const wake = (isDue: boolean): void => {
        clearTimeout(timer);
        this.waiting.delete(onChange);
        resolve(isDue);
      };
      const onChange = (): void => wake(false);
      const timer = setTimeout(() => wake(true), waitMs);
      this.waiting.add(onChange);
    });
  }

  /** Takes the I/O's share of each budget, and tells for how long it must wait. */
  private spend(isRead: boolean, lengthBytes: number): number {
    const now = this.nowMs();
    let startMs = now;
    const take = (name: RateLimitName, amount: number, unit: number): void => {
      const perSecond = this.limits[name] * unit;
      if (perSecond === 0) return;
      const from = Math.max(this.spentUntilMs.get(name) ?? 0, now - BURST_MS);
      startMs = Math.max(startMs, from);
      this.spentUntilMs.set(name, from + (amount / perSecond) * 1000);
    };
    take('rw_ios_per_sec', 1, 1);
    take('rw_mbytes_per_sec', lengthBytes, MIB);
    take(isRead ? 'r_mbytes_per_sec' : 'w_mbytes_per_sec', lengthBytes, MIB);
    return startMs - now;
  }
}
