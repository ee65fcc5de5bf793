import type { KeyedQueue, ReconcileCounts } from '@lariat/kernel';
import type { BdevInfo } from '@lariat/spdk';
import type { OwnedLvol, OwnedRaid, OwnedSubsystem } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { LogPort } from '../ports/log.port.js';
import type { TargetPort } from '../ports/target.port.js';
import { type Engines, limitsOf } from './engines.js';
import type { Exports } from './exports.js';
import type { Lvols, MadeLvol } from './lvols.js';
import { RepairLanes } from './repair-lanes.js';

export interface DriftWatchParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly exports: Exports;
  readonly engines: Engines;
  readonly lvols: Lvols;
  /** Of the lvol of this uuid: why its disk is lost. */
  readonly lost: (uuid: string | null) => string | undefined;
  readonly queue: KeyedQueue;
  readonly counts: ReconcileCounts;
  readonly log: LogPort;
}

/**
 * Compares what a target that runs has with the ownership records: exports and limits that somebody has changed are put
 * back, a head that is gone is told. What no record names is never touched (invariant 11). A look that fails tells
 * nothing.
 */
export class DriftWatch {
  private readonly lanes: RepairLanes;
  /** By the uuid of a head, since its replica may get another one: why it is known to be gone. */
  private readonly gone = new Map<string, string>();
  private looking = false;

  constructor(private readonly parts: DriftWatchParts) {
    this.lanes = new RepairLanes(parts.queue, parts.log);
  }

  /** Why the head of this uuid is known to be gone from its disk; undefined when nothing says so. */
  absent(uuid: string): string | undefined {
    return this.gone.get(uuid);
  }

  /** One round: two questions to the target, and commands to it only where its answers differ from the records. */
  async look(): Promise<void> {
    if (this.looking) return;
    this.looking = true;
    try {
      const { journal, target, counts, exports, lost } = this.parts;
      // Records first: what was made before this moment is in the answers that follow.
      const exported = journal.ownedOfKind('subsystem').filter(({ uuid, params }) => {
        // A checksum's export comes and goes with its command; what was on a lost disk comes back with that.
        return params.role !== 'checksum' && lost(uuid) === undefined;
      });
      const raids = journal.ownedOfKind('raid');
      const heads = journal.ownedOfKind('lvol').filter((lvol) => isSettledHead(lvol));
      const { nvmf, bdev } = target.spdk();
      const [subsystems, bdevs] = await Promise.all([nvmf.getSubsystems(), bdev.getBdevs()]);
      counts.looked('exports', exported.length);
      const byNqn = new Map(subsystems.map((seen) => [seen.nqn, seen]));
      for (const record of exported)
        if (!exports.isAsRecorded(record, byNqn.get(record.name))) this.putBackExport(record);
      counts.looked('limits', raids.length);
      const byName = new Map(bdevs.map((seen) => [seen.name, seen]));
      for (const record of raids) if (isLimitedOtherwise(record, byName)) this.putBackLimit(record);
      counts.looked('heads', heads.length);
      const uuids = new Set(bdevs.map(({ uuid }) => uuid));
      const missing = heads.filter(({ uuid }) => !uuids.has(uuid) && lost(uuid) === undefined);
      this.forgetAllBut(missing);
      for (const head of missing) this.lookForHead(head);
    } finally {
      this.looking = false;
    }
  }

  private putBackExport(seen: OwnedSubsystem): void {
    const { exports, engines, counts, log } = this.parts;
    const isVolume = seen.params.role === 'volume';
    const lane = isVolume ? `volume/${seen.owner}` : `replica/${seen.owner}`;
    this.lanes.run(lane, `export ${seen.name}`, async () => {
      if (isVolume) {
        const engine = engines.recordOf(seen.owner);
        // One that does not run is exported when it is put back, once what it has lost is on record.
        if (engine === undefined || (await engines.see(engine))?.state !== 'online') return;
        await engines.guard(engine);
      }
      await exports.putBack(seen.name, () => {
        counts.repaired('exports');
        log.warn('export put back: it was not as recorded', { nqn: seen.name });
      });
    });
  }

  private putBackLimit(seen: OwnedRaid): void {
    const { engines, target, counts, log } = this.parts;
    this.lanes.run(`volume/${seen.owner}`, `limits of ${seen.name}`, async () => {
      const record = engines.recordOf(seen.name);
      if (record === undefined) return;
      const bdevs = await target.spdk().bdev.getBdevs();
      if (!isLimitedOtherwise(record, new Map(bdevs.map((bdev) => [bdev.name, bdev])))) return;
      counts.repaired('limits');
      await target.spdk().bdev.setQosLimit(record.name, limitsOf(record));
      log.warn('limits put back: they were not as recorded', { volume: record.name });
    });
  }

  /** Looks again, by name and in the store's own list, before it believes: a bdev may be missing for other reasons. */
  private lookForHead(seen: MadeLvol): void {
    const { journal, lvols, counts, log } = this.parts;
    if (this.gone.has(seen.uuid)) return;
    this.lanes.run(`replica/${seen.owner}`, `head ${seen.name}`, async () => {
      const record = journal.owned('lvol', seen.name);
      if (record?.uuid !== seen.uuid || !isSettledHead(record)) return;
      if (await lvols.isPresent(record)) return;
      counts.repaired('heads');
      this.gone.set(record.uuid, `its head ${record.name} is not on its disk`);
      log.error('the head of a replica is gone', { replica: record.owner, lvol: record.name });
    });
  }

  /** One that has come back, with its disk, is not gone; one that is no head any more concerns nobody. */
  private forgetAllBut(heads: readonly MadeLvol[]): void {
    const known = new Set(heads.map(({ uuid }) => uuid));
    for (const uuid of this.gone.keys()) if (!known.has(uuid)) this.gone.delete(uuid);
  }
}

/** Half made, half way through a revert, or under rebuild it has no uuid that counts. */
function isSettledHead(lvol: OwnedLvol): lvol is MadeLvol {
  const { uuid, params } = lvol;
  return (
    params.role === 'head' &&
    uuid !== null &&
    params.revertTo === null &&
    params.sourceController === null
  );
}

function isLimitedOtherwise(record: OwnedRaid, byName: ReadonlyMap<string, BdevInfo>): boolean {
  const seen = byName.get(record.name)?.limits;
  if (seen === undefined) return false;
  const wanted = limitsOf(record);
  return (
    seen.readWriteIosPerSecond !== wanted.readWriteIosPerSecond ||
    seen.readWriteMbytesPerSecond !== wanted.readWriteMbytesPerSecond ||
    seen.readMbytesPerSecond !== wanted.readMbytesPerSecond ||
    seen.writeMbytesPerSecond !== wanted.writeMbytesPerSecond
  );
}
