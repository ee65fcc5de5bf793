import { delay } from '@lariat/kernel';
import type { Spdk } from '@lariat/spdk';

const KEPT = 3;

/** Snapshots an lvol again and again, and deletes one or another of its snapshots, so that clusters are copied, merged and freed. */
export class SnapshotChurn {
  made = 0;
  private deathIsExpected = false;
  private readonly done: Promise<void>;

  constructor(
    private readonly spdk: Spdk,
    private readonly lvol: string,
    private readonly prefix: string,
  ) {
    this.done = this.run();
  }

  expectDeath(): void {
    this.deathIsExpected = true;
  }

  end(): Promise<void> {
    return this.done;
  }

  private async run(): Promise<void> {
    while (!this.deathIsExpected) {
      try {
        await this.spdk.lvol.snapshot(this.lvol, `${this.prefix}-${this.made}`);
        this.made += 1;
        const lvols = await this.spdk.lvol.getLvols();
        const snapshots = lvols.filter(({ isSnapshot }) => isSnapshot);
        for (let extra = snapshots.length; extra > KEPT; extra -= 1) {
          const [victim] = snapshots.splice(Math.floor(Math.random() * snapshots.length), 1);
          if (victim !== undefined) await this.spdk.lvol.delete(victim.uuid);
        }
        await delay(Math.random() * 40);
      } catch (error) {
        if (!this.deathIsExpected) throw error;
      }
    }
  }
}
