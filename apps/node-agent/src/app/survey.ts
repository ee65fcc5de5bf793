import type {
  CommandMap,
  ImageRecord,
  SurveyedImage,
  SurveyedLvol,
  SurveyedReplica,
  SurveyedVolume,
  VolumeRecord,
} from '@lariat/contracts';
import type { BdevInfo } from '@lariat/spdk';
import { type OwnedLvol, isOfImage } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import { engineReport } from './loss-reporter.js';

/** A message may have 1 MiB, and one volume with its snapshots some hundred KiB. */
const PAGE_BYTES = 256 * 1024;

/** What the target says of the lvols on record. */
interface Sight {
  readonly byUuid: ReadonlyMap<string, BdevInfo>;
  readonly byAlias: ReadonlyMap<string, BdevInfo>;
  /** Aliases of all lvols in the stores that are loaded, also of those that have no bdev. */
  readonly listed: ReadonlySet<string>;
  readonly loadedDisks: ReadonlySet<string>;
}

/** Tells what this node keeps and has of volumes and images; changes nothing. */
export class Survey {
  constructor(
    private readonly journal: JournalPort,
    private readonly target: TargetPort,
  ) {}

  async page(after: string | null): Promise<CommandMap['record.survey']['output']> {
    const sight = await this.look();
    const all = this.journal.ownedOfKind('lvol');
    const lvols = groupBy(all, (lvol) => (isOfImage(lvol) ? lvol.params.image : lvol.volume) ?? '');
    const records = new Map(this.journal.records('volume').map((record) => [record.id, record]));
    const images = new Map(this.journal.records('image').map((record) => [record.id, record]));
    const imageIds = new Set([
      ...images.keys(),
      ...all.filter(isOfImage).map(({ params }) => params.image ?? ''),
    ]);
    const engines = this.journal.ownedOfKind('raid').map(({ name }) => name);
    const ids = [...new Set([...lvols.keys(), ...records.keys(), ...engines, ...imageIds])]
      .filter((id) => id !== '' && (after === null || id > after))
      .toSorted();
    const told: { volumes: SurveyedVolume[]; images: SurveyedImage[] } = {
      volumes: [],
      images: [],
    };
    let bytes = 0;
    let last: string | null = null;
    for (const id of ids) {
      const parts = lvols.get(id) ?? [];
      const one = imageIds.has(id)
        ? surveyImage(id, images.get(id) ?? null, parts, sight)
        : this.volume(id, records.get(id) ?? null, parts, sight);
      if ('image' in one) told.images.push(one);
      else told.volumes.push(one);
      last = id;
      bytes += JSON.stringify(one).length;
      if (bytes >= PAGE_BYTES) break;
    }
    const disks = this.journal.ownedOfKind('disk').map(({ name }) => name);
    const loaded = disks.filter((disk) => sight?.loadedDisks.has(disk) === true);
    return { disks: loaded, ...told, next: last === ids.at(-1) ? null : last };
  }

  private volume(
    id: string,
    record: VolumeRecord | null,
    lvols: readonly OwnedLvol[],
    sight: Sight | undefined,
  ): SurveyedVolume {
    const replicas = groupBy(lvols, ({ owner }) => owner);
    const raid = this.journal.owned('raid', id);
    return {
      volume: id,
      record,
      replicas: Array.from(replicas, ([replica, parts]) => this.replica(replica, parts, sight)),
      engine: raid === undefined ? null : engineReport(raid),
      epoch: this.journal.highestEpoch(id),
    };
  }

  private replica(
    replica: string,
    lvols: readonly OwnedLvol[],
    sight: Sight | undefined,
  ): SurveyedReplica {
    const snapshotByName = new Map(
      lvols.flatMap(({ params }) =>
        params.snapshot === null ? [] : [[params.lvolName, params.snapshot] as const],
      ),
    );
    const see = (lvol: OwnedLvol): SurveyedLvol => surveyLvol(lvol, sight, snapshotByName);
    const head = lvols.find(({ params }) => params.role === 'head');
    const owned = this.journal.ownedBy(replica);
    return {
      replica,
      disk: head?.params.disk ?? lvols[0]?.params.disk ?? '',
      head:
        head === undefined
          ? { presence: 'absent', uuid: null, sizeBytes: 0, parent: null, madeBy: null }
          : see(head),
      snapshots: lvols.flatMap((lvol) => {
        const { role, snapshot } = lvol.params;
        return role === 'snapshot' && snapshot !== null ? [{ snapshot, ...see(lvol) }] : [];
      }),
      exported: lvols.flatMap((lvol) => {
        const { snapshot } = lvol.params;
        const isExported = owned.some(
          (thing) =>
            thing.kind === 'subsystem' &&
            thing.params.role === 'snapshot' &&
            thing.uuid === lvol.uuid,
        );
        return isExported && snapshot !== null ? [snapshot] : [];
      }),
      scratches: owned.flatMap((thing) =>
        thing.kind === 'controller' && thing.params.role === 'copy'
          ? [thing.params.endpoint.nqn]
          : [],
      ),
    };
  }

  /** Undefined when the target does not answer: then nothing is known of any lvol. */
  private async look(): Promise<Sight | undefined> {
    try {
      const spdk = this.target.spdk();
      const [bdevs, lvols, stores] = await Promise.all([
        spdk.bdev.getBdevs(),
        spdk.lvol.getLvols(),
        spdk.lvol.getLvstores(),
      ]);
      return {
        byUuid: new Map(bdevs.map((bdev) => [bdev.uuid, bdev])),
        byAlias: new Map(bdevs.flatMap((bdev) => bdev.aliases.map((alias) => [alias, bdev]))),
        listed: new Set(lvols.map(({ alias }) => alias)),
        loadedDisks: new Set(stores.map(({ name }) => name)),
      };
    } catch {
      // Being restarted, or stuck: what it has is unknown, not absent (invariant 2).
      return undefined;
    }
  }
}

function groupBy<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

function surveyImage(
  image: string,
  record: ImageRecord | null,
  lvols: readonly OwnedLvol[],
  sight: Sight | undefined,
): SurveyedImage {
  const copies = lvols.map((lvol) => {
    const { presence, uuid, sizeBytes } = surveyLvol(lvol, sight, new Map());
    const state = lvol.params.role === 'image' ? ('sealed' as const) : ('writing' as const);
    const { operation } = lvol;
    return { disk: lvol.params.disk, state, presence, uuid, sizeBytes, operation };
  });
  return { image, record, copies };
}

function surveyLvol(
  { name, uuid, operation, params }: OwnedLvol,
  sight: Sight | undefined,
  snapshotByName: ReadonlyMap<string, string>,
): SurveyedLvol {
  const { sizeBytes, disk, revertTo } = params;
  // Half way through a revert the new head has another uuid than the record, and the same name.
  const bdev =
    revertTo === null && uuid !== null ? sight?.byUuid.get(uuid) : sight?.byAlias.get(name);
  if (bdev !== undefined) {
    const parent = snapshotByName.get(bdev.lvol?.baseSnapshot ?? '') ?? null;
    // Until the old head has gone the revert that is to replace it is on record, and has made nothing.
    const madeBy = revertTo === null || bdev.uuid !== uuid ? operation : null;
    return { presence: 'present', uuid: bdev.uuid, sizeBytes: bdev.sizeBytes, parent, madeBy };
  }
  const isAbsent = sight !== undefined && sight.loadedDisks.has(disk) && !sight.listed.has(name);
  const presence = isAbsent ? 'absent' : 'unknown';
  return { presence, uuid, sizeBytes, parent: null, madeBy: null };
}
