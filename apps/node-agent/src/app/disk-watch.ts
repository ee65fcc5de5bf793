import type { LostDisk } from '@lariat/contracts';
import { type Clock, type KeyedQueue, type ReconcileCounts, toLariatError } from '@lariat/kernel';
import type { LvstoreInfo } from '@lariat/spdk';
import { aioName } from '../domain/names.js';
import type { OwnedDisk } from '../domain/ownership.js';
import type { FilesPort } from '../ports/files.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { Disks } from './disks.js';
import { isOutage } from './target-errors.js';

export interface DiskWatchParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly files: Pick<FilesPort, 'kindOf' | 'identityOf' | 'probe'>;
  readonly disks: Pick<Disks, 'load'>;
  readonly queue: KeyedQueue;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly counts: ReconcileCounts;
  readonly log: LogPort;
}

interface Opened {
  readonly targetInstance: string;
  readonly identity: string;
}

/**
 * Knows which disks are lost, and loads them again when they are back with their store. A store that is not there is an
 * error, and never made anew. A look at which the target does not answer tells nothing.
 */
export class DiskWatch {
  private readonly losses = new Map<string, LostDisk>();
  /** Found once: a disk is lost when the next look finds it as well. */
  private readonly suspected = new Set<string>();
  /** What was at the path when all was well, and in which life of the target: another file there is another disk. */
  private readonly opened = new Map<string, Opened>();
  private looking = false;

  constructor(private readonly parts: DiskWatchParts) {}

  /** Why the disk is lost, and since when. */
  lost(disk: string): LostDisk | undefined {
    return this.losses.get(disk);
  }

  /** Why the lvol of this uuid can't be had: its disk is lost. */
  lostLvol(uuid: string | null): string | undefined {
    if (this.losses.size === 0 || uuid === null) return undefined;
    const lvol = this.parts.journal.ownedOfKind('lvol').find((one) => one.uuid === uuid);
    const loss = lvol === undefined ? undefined : this.losses.get(lvol.params.disk);
    return loss === undefined ? undefined : `its disk is lost: ${loss.reason}`;
  }

  async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      const { journal, target, counts } = this.parts;
      const known = journal
        .ownedOfKind('disk')
        .filter(({ uuid, params }) => uuid !== null && params.removing !== true);
      const stores = await target.spdk().lvol.getLvstores();
      counts.looked('disks', known.length);
      for (const disk of known) await this.lookAt(disk, stores);
      const names = new Set(known.map(({ name }) => name));
      for (const name of this.losses.keys()) if (!names.has(name)) this.losses.delete(name);
    } finally {
      this.looking = false;
    }
  }

  private async lookAt(disk: OwnedDisk, stores: readonly LvstoreInfo[]): Promise<void> {
    const fault = (await this.faultOfPath(disk)) ?? (await this.faultOfStore(disk, stores));
    if (fault === undefined) await this.found(disk);
    else this.missed(disk, fault);
  }

  private async faultOfPath({ name, params: { path } }: OwnedDisk): Promise<string | undefined> {
    const { files } = this.parts;
    try {
      const kind = await files.kindOf(path);
      if (kind === 'absent') return `${path} is gone`;
      if (kind === 'other') return `${path} is neither a file nor a block device any more`;
      const identity = await files.identityOf(path);
      const opened = this.opened.get(name);
      // A target that was started since has opened what is there now.
      const isSameLife = opened?.targetInstance === this.parts.target.instance;
      if (isSameLife && opened.identity !== identity)
        return `${path} is another file or device than the one that the target has open`;
      await files.probe(path);
      return undefined;
    } catch (reason) {
      return `${path} can't be read: ${toLariatError(reason).message}`;
    }
  }

  /** What the target has let go of is loaded again; in the lane of the commands on the disk. */
  private async faultOfStore(
    disk: OwnedDisk,
    stores: readonly LvstoreInfo[],
  ): Promise<string | undefined> {
    const { journal, disks, queue, counts, log } = this.parts;
    const isThere = stores.some(
      ({ uuid, baseBdev }) => baseBdev === aioName(disk.name) && uuid === disk.uuid,
    );
    if (isThere) return undefined;
    if (!this.losses.has(disk.name)) counts.repaired('disks');
    return queue.run(`disk/${disk.name}`, async () => {
      const record = journal.owned('disk', disk.name);
      if (record === undefined) return undefined;
      try {
        await disks.load(record);
        this.opened.delete(disk.name);
        log.warn('a disk was loaded again', { disk: disk.name });
        return undefined;
      } catch (reason) {
        if (isOutage(reason)) throw reason;
        return toLariatError(reason).message;
      }
    });
  }

  private async found({ name, params: { path } }: OwnedDisk): Promise<void> {
    const { target, files } = this.parts;
    this.suspected.delete(name);
    try {
      const targetInstance = target.instance;
      this.opened.set(name, { targetInstance, identity: await files.identityOf(path) });
    } catch {
      // Gone in this very moment: the next look finds out.
      return;
    }
    if (this.losses.delete(name)) this.parts.log.info('a disk is back', { disk: name, path });
  }

  private missed({ name, params: { path } }: OwnedDisk, reason: string): void {
    const { clock, log } = this.parts;
    const known = this.losses.get(name);
    if (known !== undefined) {
      if (known.reason !== reason) this.losses.set(name, { ...known, reason });
      return;
    }
    if (!this.suspected.has(name)) {
      this.suspected.add(name);
      return;
    }
    this.suspected.delete(name);
    this.losses.set(name, { reason, since: new Date(clock.nowMs()).toISOString() });
    log.error('a disk is lost', { disk: name, path, reason });
  }
}
