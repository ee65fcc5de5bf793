import { type ErrorCode, lariatError } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { type BdevInfo, sizeInMib } from '@lariat/spdk';
import { lvolAlias } from '../domain/names.js';
import type { OwnedLvol } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import { isAbsent } from './target-errors.js';

/** What is asked of a new lvol; its uuid is the target's to give. */
export type LvolPlan = Omit<OwnedLvol, 'kind' | 'name' | 'uuid'>;

type LvolParams = OwnedLvol['params'];

/** A new lvol of a replica: it has no snapshot's name, and stands alone, unless that is said. */
export function planLvol(
  of: { readonly replica: string; readonly volume: string | null; readonly operation: string },
  params: Pick<LvolParams, 'disk' | 'lvolName' | 'role' | 'sizeBytes'> &
    Partial<Pick<LvolParams, 'snapshot' | 'sourceController'>>,
): LvolPlan {
  return {
    owner: of.replica,
    volume: of.volume,
    operation: of.operation,
    epoch: null,
    params: { snapshot: null, sourceController: null, revertTo: null, ...params },
  };
}

/** An lvol that is known to exist. */
export type MadeLvol = OwnedLvol & { readonly uuid: string };

/** Lvols and their ownership records. */
export class Lvols {
  constructor(
    private readonly journal: JournalPort,
    private readonly target: TargetPort,
  ) {}

  /** Makes the lvol, or adopts the one that an earlier try of ours made. */
  async make(plan: LvolPlan, create: () => Promise<string>): Promise<MadeLvol> {
    const alias = lvolAlias(plan.params.disk, plan.params.lvolName);
    const known = this.journal.owned('lvol', alias);
    const seen = await this.see(alias, plan.params.disk);
    if (known === undefined && seen !== undefined) throw notOwned(alias, seen.uuid);
    if (known !== undefined && known.owner !== plan.owner) throw notOwned(alias, known.owner);
    if (known !== undefined && known.uuid !== null) {
      if (seen?.uuid === known.uuid) return { ...known, uuid: known.uuid };
      if (seen !== undefined) throw notOwned(alias, seen.uuid);
      // Making it anew would put an empty lvol where data is expected.
      throw lariatError(
        'REPLICA_NOT_FOUND',
        `${alias} was made before and is no longer on its disk; delete the replica and rebuild it`,
      );
    }
    const record: OwnedLvol = { ...plan, kind: 'lvol', name: alias, uuid: null };
    if (known === undefined) await this.journal.putOwned(record);
    const uuid = seen?.uuid ?? (await create());
    const made = { ...record, uuid };
    await this.journal.putOwned(made);
    return made;
  }

  /** An lvol without content: all of it reads as zeros. */
  makeEmpty(plan: LvolPlan): Promise<MadeLvol> {
    const { disk, lvolName, sizeBytes } = plan.params;
    return this.make(plan, () =>
      this.target.spdk().lvol.create({
        store: { lvsName: disk },
        lvolName,
        sizeMib: sizeInMib(sizeBytes),
        thinProvision: true,
        // Old bytes of the disk must never show through a new cluster (invariant 10).
        clearMethod: 'write_zeroes',
      }),
    );
  }

  /** The lvol by its record, confirmed on the target by uuid; `missing` is the code of what is not there. */
  async require(
    alias: string,
    what: string,
    missing: ErrorCode = 'REPLICA_NOT_FOUND',
  ): Promise<MadeLvol> {
    const record = this.journal.owned('lvol', alias);
    if (record === undefined || record.uuid === null) throw absent(what, missing);
    const seen = await this.see(alias, record.params.disk);
    if (seen === undefined) throw absent(what, missing);
    if (seen.uuid !== record.uuid) throw notOwned(alias, seen.uuid);
    return { ...record, uuid: record.uuid };
  }

  /** The one head, scratch or snapshot of a replica that the records name. */
  recordOf(
    replica: string,
    role: OwnedLvol['params']['role'],
    snapshot: string | null = null,
  ): OwnedLvol | undefined {
    return this.journal
      .ownedOfKind('lvol')
      .find(
        (lvol) =>
          lvol.owner === replica && lvol.params.role === role && lvol.params.snapshot === snapshot,
      );
  }

  async head(replica: string): Promise<MadeLvol> {
    return this.ofReplica(replica, 'head', null, `replica ${replica}`);
  }

  async snapshot(replica: string, snapshot: string): Promise<MadeLvol> {
    const what = `snapshot ${snapshot} of replica ${replica}`;
    return this.ofReplica(replica, 'snapshot', snapshot, what);
  }

  async scratch(replica: string): Promise<MadeLvol> {
    return this.ofReplica(replica, 'scratch', null, `the scratch lvol of replica ${replica}`);
  }

  async info(lvol: MadeLvol): Promise<BdevInfo> {
    return this.target.spdk().bdev.getBdev(lvol.uuid);
  }

  /** Grows an lvol that no one uses yet, and its record with it; one that is large enough stays as it is. */
  async grow(lvol: MadeLvol, sizeBytes: number): Promise<MadeLvol> {
    if ((await this.info(lvol)).sizeBytes < sizeBytes) {
      await this.target.spdk().lvol.resize(lvol.uuid, sizeInMib(sizeBytes));
    }
    if (lvol.params.sizeBytes >= sizeBytes) return lvol;
    const larger = { ...lvol, params: { ...lvol.params, sizeBytes } };
    await this.journal.putOwned(larger);
    return larger;
  }

  /** How much may be written to it a second, 0 for no limit: on record first, since a target that starts knows none. */
  async limitWrites(lvol: MadeLvol, mibPerSecond: number): Promise<void> {
    if ((lvol.params.writeMibPerSecond ?? 0) !== mibPerSecond) {
      const params = { ...lvol.params, writeMibPerSecond: mibPerSecond };
      await this.journal.putOwned({ ...lvol, params });
    }
    const limit = { writeMbytesPerSecond: mibPerSecond };
    await this.target.spdk().bdev.setQosLimit(lvol.uuid, limit);
  }

  /** Deletes what one record names, and that alone; a thing with its name and another uuid is not ours. */
  async remove(record: OwnedLvol): Promise<void> {
    const seen = await this.see(record.name, record.params.disk);
    // Half made, or half way through a revert, the record itself says that another uuid is ours too.
    const settled = record.uuid !== null && record.params.revertTo === null;
    if (seen !== undefined && settled && record.uuid !== seen.uuid)
      throw notOwned(record.name, seen.uuid);
    if (seen !== undefined) await this.target.spdk().lvol.delete(seen.uuid);
    await this.journal.dropOwned('lvol', record.name);
  }

  /** Renames what the record names; one that has its new name already is left as it is. */
  async rename(record: OwnedLvol, lvolName: string): Promise<void> {
    const seen = await this.see(record.name, record.params.disk);
    if (seen === undefined) return;
    if (record.uuid !== seen.uuid) throw notOwned(record.name, seen.uuid);
    await this.target.spdk().lvol.rename(record.name, lvolName);
  }

  /**
   * Deletes a set of lvols of one owner, children before parents. A clone that is not in the set belongs to somebody
   * else: to its only clone an lvol leaves its clusters, as SPDK deletes it; one with several stays, in the hands of
   * one of them. A clone that no record names stops it.
   */
  async removeAll(records: readonly OwnedLvol[]): Promise<void> {
    const pending = new Map(records.map((record) => [record.params.lvolName, record]));
    while (pending.size > 0) {
      let removed = 0;
      for (const [name, record] of [...pending]) {
        const clones = record.uuid === null ? [] : await this.clonesOf(record.uuid);
        if (clones.some((clone) => pending.has(clone))) continue;
        const [heir] = clones.map((clone) => this.heirOf(record, clone));
        if (heir === undefined || clones.length === 1) await this.remove(record);
        else await this.handOver(record, heir);
        pending.delete(name);
        removed += 1;
      }
      if (removed === 0) {
        const names = [...pending.keys()].join(', ');
        throw lariatError('RECORD_CORRUPT', `the lvols ${names} are each other's clones in a ring`);
      }
    }
  }

  private heirOf(record: OwnedLvol, clone: string): OwnedLvol {
    const heir = this.journal.owned('lvol', lvolAlias(record.params.disk, clone));
    if (heir !== undefined) return heir;
    throw lariatError(
      'SNAPSHOT_IN_USE',
      `${record.name} has a clone '${clone}' that no record of this node names; delete that first`,
    );
  }

  private async handOver(record: OwnedLvol, { owner, volume }: OwnedLvol): Promise<void> {
    const params = { ...record.params, role: 'base' as const };
    await this.journal.putOwned({ ...record, owner, volume, params });
  }

  /**
   * Deletes snapshots from within a chain: leaves first, then those with one clone, which takes over their clusters
   * and keeps its content. One that several clones stand on stops it, and so does a clone of another owner.
   */
  async prune(records: readonly OwnedLvol[]): Promise<void> {
    const pending = new Map(records.map((record) => [record.params.lvolName, record]));
    while (pending.size > 0) {
      const next = await this.leastBeneath([...pending.values()]);
      if (next === undefined) {
        const names = [...pending.keys()].join(', ');
        throw lariatError(
          'SNAPSHOT_IN_USE',
          `each of ${names} is beneath several lvols, or beneath one of another owner`,
        );
      }
      await this.remove(next);
      pending.delete(next.params.lvolName);
    }
  }

  /** The one with the fewest clones, at most one, and that of the same owner. */
  private async leastBeneath(records: readonly OwnedLvol[]): Promise<OwnedLvol | undefined> {
    let least: OwnedLvol | undefined;
    for (const record of records) {
      const clones = record.uuid === null ? [] : await this.clonesOf(record.uuid);
      if (clones.length === 0) return record;
      const isOurs = clones.every(
        (clone) =>
          this.journal.owned('lvol', lvolAlias(record.params.disk, clone))?.owner === record.owner,
      );
      if (clones.length === 1 && isOurs) least ??= record;
    }
    return least;
  }

  /** Whether what the record names is on its disk. Throws while the disk is not loaded: that says nothing. */
  async isPresent(record: OwnedLvol): Promise<boolean> {
    return (await this.see(record.name, record.params.disk)) !== undefined;
  }

  /** Names of the lvols whose parent this is; none for an lvol that has no bdev. */
  async clonesOf(uuid: string): Promise<readonly string[]> {
    try {
      return (await this.target.spdk().bdev.getBdev(uuid)).lvol?.clones ?? [];
    } catch (reason) {
      if (isAbsent(reason)) return [];
      throw reason;
    }
  }

  /**
   * Uuids of the snapshot and of all that lies between it and `parent`, its volume's snapshot beneath (null: all that
   * lies beneath), the lowest first: what a copy of it needs and no other copy brings. By the volume's record, not by
   * what is there: a snapshot that was given up while this node was away is still beneath, and holds what was written
   * before it. With `image`, where there is no such snapshot, down to the copy of that image.
   */
  async layersOf(
    snapshot: MadeLvol,
    parent: string | null,
    image: string | null = null,
  ): Promise<readonly string[]> {
    const layers = [snapshot.uuid];
    const endsAtImage = parent === null && image !== null;
    for (let info = await this.info(snapshot); info.lvol?.baseSnapshot !== undefined;) {
      const alias = lvolAlias(snapshot.params.disk, info.lvol.baseSnapshot);
      const below = this.journal.owned('lvol', alias);
      const isParent = below?.params.role === 'snapshot' && below.params.snapshot === parent;
      if (isParent && below.owner === snapshot.owner) return layers;
      if (endsAtImage && below?.params.role === 'image' && below.params.image === image)
        return layers;
      info = await this.target.spdk().bdev.getBdev(alias);
      layers.unshift(info.uuid);
    }
    if (!endsAtImage) return layers;
    // Copied onto the image, a chain that holds all of its clusters itself would lack the zeros that it does not hold.
    throw lariatError(
      'IMAGE_NOT_BENEATH',
      `snapshot ${snapshot.params.snapshot} of replica ${snapshot.owner} does not stand on image ${image} here; copy it whole, without the image`,
      { image },
    );
  }

  /** What the lvol and all that it stands on take, whoever owns that. */
  async allocatedBytes(lvol: MadeLvol): Promise<number> {
    let clusters = 0;
    for (let info = await this.info(lvol); ;) {
      clusters += info.lvol?.allocatedClusters ?? 0;
      const below = info.lvol?.baseSnapshot;
      if (below === undefined) return clusters * CLUSTER_SIZE_BYTES;
      info = await this.target.spdk().bdev.getBdev(lvolAlias(lvol.params.disk, below));
    }
  }

  private async ofReplica(
    replica: string,
    role: OwnedLvol['params']['role'],
    snapshot: string | null,
    what: string,
  ): Promise<MadeLvol> {
    const record = this.recordOf(replica, role, snapshot);
    if (record === undefined) throw absent(what);
    return this.require(record.name, what);
  }

  /**
   * The lvol by its alias. One that is on record and shows no bdev is looked for in the list of its store, which
   * also has clones whose external parent is missing; the list grows with the store, and so is not the first look.
   */
  private async see(alias: string, disk: string): Promise<{ readonly uuid: string } | undefined> {
    try {
      return await this.target.spdk().bdev.getBdev(alias);
    } catch (reason) {
      if (!isAbsent(reason)) throw reason;
    }
    if (this.journal.owned('lvol', alias) === undefined) return undefined;
    try {
      const lvols = await this.target.spdk().lvol.getLvols({ lvsName: disk });
      return lvols.find((lvol) => lvol.alias === alias);
    } catch (reason) {
      // A store that is not loaded says nothing about its lvols: unknown is not absent (invariant 2).
      if (!isAbsent(reason)) throw reason;
      throw lariatError(
        'DISK_LOST',
        `disk ${disk} is not loaded on this node; see 'lariat disk list'`,
      );
    }
  }
}

function notOwned(alias: string, other: string): Error {
  return lariatError(
    'NOT_OWNED',
    `${alias} is there and is not the one on record (${other}); it is left untouched. Remove or rename it by hand`,
  );
}

function absent(what: string, code: ErrorCode = 'REPLICA_NOT_FOUND'): Error {
  return lariatError(code, `${what} is not on this node`);
}
