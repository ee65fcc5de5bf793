import { toLariatError, withDeadline } from '@lariat/kernel';
import type { Log } from '@lariat/telemetry';
import { ORPHAN_WATCH_MS } from './app/orphan-watch.js';
import type { NodeParts } from './node-parts.js';
import type { JournalPort } from './ports/journal.port.js';

const WATCH_MS = 500;
/** Writes wait for a leg that died until this has seen it: a part of the stall that users see. */
const ENGINE_WATCH_MS = 200;
/** All of the target is listed each time. */
const DRIFT_WATCH_MS = 3_000;
/** Sooner than a replica that was lost is asked for what it has: a disk that was let go for a moment is back by then. */
const DISK_WATCH_MS = 1_000;
/** How many replicas stand on an image's copy bears on what may be evicted, which nobody decides in less. */
const IMAGE_WATCH_MS = 1_000;
const RESTORE_RETRY_MS = 1_000;
const PRUNE_MS = 3_600_000;
const JOURNAL_KEEP_MS = 24 * 3_600_000;
/** The node is ready after that, whatever hangs. */
const SETTLE_DEVICES_MS = 2_000;

/** What the agent looks after by itself, each in rounds of its own. */
export class Rounds {
  private readonly timers: NodeJS.Timeout[] = [];

  constructor(
    private readonly journal: JournalPort,
    private readonly parts: NodeParts,
    private readonly log: Log,
  ) {}

  /** Before the first round. What is stuck is gone on with in its lane, and holds up neither the others nor the node. */
  async settleDevices(): Promise<void> {
    const repairs = this.repairDevices();
    await withDeadline('devices to be as recorded', SETTLE_DEVICES_MS, repairs).catch(
      (reason: unknown) => this.log.warn('devices', { error: toLariatError(reason).message }),
    );
  }

  begin(): void {
    const { keeper, watch, drift, orphans, frontends, restore, queue } = this.parts;
    const { digests, imageReports, diskWatch, lostExports } = this.parts;
    this.every(ENGINE_WATCH_MS, () => (keeper.ready ? watch.poll() : undefined));
    this.every(DRIFT_WATCH_MS, () => (keeper.ready ? drift.look() : undefined));
    this.every(DISK_WATCH_MS, async () => {
      if (!keeper.ready) return;
      await diskWatch.look();
      await lostExports.look();
    });
    this.every(ORPHAN_WATCH_MS, () => (keeper.ready ? orphans.look() : undefined));
    this.every(WATCH_MS, () =>
      Promise.all(
        frontends
          .dead()
          .map((volume) => queue.run(`volume/${volume}`, () => frontends.revive(volume))),
      ),
    );
    this.every(WATCH_MS, () => this.repairDevices());
    this.every(RESTORE_RETRY_MS, () =>
      keeper.ready && restore.isIncomplete ? restore.retry() : undefined,
    );
    this.every(PRUNE_MS, () => this.prune());
    void this.prune();
    this.every(PRUNE_MS, () => digests.sweep());
    this.every(IMAGE_WATCH_MS, () => (keeper.ready ? imageReports.refresh() : undefined));
  }

  end(): void {
    for (const timer of this.timers) clearInterval(timer);
  }

  private every(ms: number, task: () => Promise<unknown> | undefined): void {
    this.timers.push(
      setInterval(() => {
        void task()?.catch((reason: unknown) => {
          this.log.warn('round failed', { error: toLariatError(reason).message });
        });
      }, ms),
    );
  }

  /** Each in the lane of the commands on its volume: an attach comes after what is put right before it. */
  private async repairDevices(): Promise<void> {
    const { devices, queue } = this.parts;
    await Promise.all(
      devices
        .unsettled()
        .map((volume) => queue.run(`volume/${volume}`, () => devices.repair(volume))),
    );
  }

  private prune(): Promise<number> {
    return this.journal.prune(Date.now() - JOURNAL_KEEP_MS);
  }
}
