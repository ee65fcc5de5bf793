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
  }

  /** Takes the I/O's share of each budget and resolves when it may start; undefined when that is now. */
  admit(isRead: boolean, lengthBytes: number): Promise<void> | undefined {
    if (!this.active) return undefined;
    const now = this.nowMs();
    let startMs = now;
    const spend = (name: RateLimitName, amount: number, unit: number): void => {
      const perSecond = this.limits[name] * unit;
      if (perSecond === 0) return;
      const from = Math.max(this.spentUntilMs.get(name) ?? 0, now - BURST_MS);
      startMs = Math.max(startMs, from);
      this.spentUntilMs.set(name, from + (amount / perSecond) * 1000);
    };
    spend('rw_ios_per_sec', 1, 1);
    spend('rw_mbytes_per_sec', lengthBytes, MIB);
    spend(isRead ? 'r_mbytes_per_sec' : 'w_mbytes_per_sec', lengthBytes, MIB);
    const waitMs = startMs - now;
    return waitMs <= 0 ? undefined : new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}
