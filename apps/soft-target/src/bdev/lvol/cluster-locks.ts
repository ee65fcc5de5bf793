interface Lock {
  shared: number;
  exclusive: boolean;
  waiting: (() => void)[];
}

/**
 * Order among the writes of one lvol: writes into a cluster that it owns share it; whoever changes the
 * cluster's entry in the table has it alone.
 */
export class ClusterLocks {
  private readonly locks = new Map<number, Lock>();

  tryShared(cluster: number): boolean {
    const lock = this.lock(cluster);
    if (lock.exclusive) return false;
    lock.shared += 1;
    return true;
  }

  tryExclusive(cluster: number): boolean {
    const lock = this.lock(cluster);
    if (lock.exclusive || lock.shared > 0) return false;
    lock.exclusive = true;
    return true;
  }

  /** After a refused try: resolves when another try is worth it. */
  wait(cluster: number): Promise<void> {
    return new Promise((resolve) => this.lock(cluster).waiting.push(resolve));
  }

  releaseShared(cluster: number): void {
    const lock = this.lock(cluster);
    lock.shared -= 1;
    this.wake(cluster, lock);
  }

  releaseExclusive(cluster: number): void {
    const lock = this.lock(cluster);
    lock.exclusive = false;
    this.wake(cluster, lock);
  }

  private lock(cluster: number): Lock {
    let lock = this.locks.get(cluster);
    if (lock === undefined) {
      lock = { shared: 0, exclusive: false, waiting: [] };
      this.locks.set(cluster, lock);
    }
    return lock;
  }

  private wake(cluster: number, lock: Lock): void {
    if (lock.shared > 0) return;
    this.locks.delete(cluster);
    for (const resolve of lock.waiting) resolve();
  }
}
