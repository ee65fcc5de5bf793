/** What can be told of another machine without its help. */
export interface ReachabilityPort {
  /** Whether the machine answers that nobody listens there. A silence is no: it may be on its way. */
  isRefused(traddr: string, trsvcid: string): Promise<boolean>;
}
