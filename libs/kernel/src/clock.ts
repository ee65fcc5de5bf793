/** Time as a port, so that decisions can be replayed. */
export interface Clock {
  /** Milliseconds since 1970, for records. */
  nowMs(): number;
  /** Milliseconds that never go back, for deadlines within one process. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};
