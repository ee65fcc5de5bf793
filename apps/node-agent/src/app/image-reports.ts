import type { ImageCopyReport } from '@lariat/contracts';
import type { OwnedLvol } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import { usersAmong } from './image-copies.js';
import type { Lvols } from './lvols.js';
import { isAbsent } from './target-errors.js';

type Seen = Pick<ImageCopyReport, 'presence' | 'allocatedClusters' | 'clones'>;

const UNKNOWN: Seen = { presence: 'unknown', allocatedClusters: null, clones: null };

export interface ImageReportsParts {
  readonly journal: JournalPort;
  readonly lvols: Lvols;
}

/** What the inventory says of the copies of images: by the ownership records, with what was last seen of each. */
export class ImageReports {
  private seen: ReadonlyMap<string, Seen> = new Map();

  constructor(private readonly parts: ImageReportsParts) {}

  list(): readonly ImageCopyReport[] {
    const { journal } = this.parts;
    return this.records().map(({ uuid, params }) => ({
      image: params.image ?? '',
      disk: params.disk,
      state: params.role === 'image' ? 'sealed' : 'writing',
      uuid,
      sizeBytes: params.sizeBytes,
      record: journal.recordPosition('image', params.image ?? '') ?? null,
      ...((uuid === null ? undefined : this.seen.get(uuid)) ?? UNKNOWN),
    }));
  }

  /** Asks the target, which the inventory, told four times a second if need be, can't wait for. */
  async refresh(): Promise<void> {
    const seen = new Map<string, Seen>();
    for (const record of this.records())
      if (record.uuid !== null) seen.set(record.uuid, await this.look(record, record.uuid));
    this.seen = seen;
  }

  /** One a copy: the draft that a seal is about to drop is told of no more once the sealed one is there. */
  private records(): readonly OwnedLvol[] {
    const lvols = this.parts.journal.ownedOfKind('lvol');
    const sealed = lvols.filter(({ params, uuid }) => params.role === 'image' && uuid !== null);
    const owners = new Set(sealed.map(({ owner }) => owner));
    const drafts = lvols.filter(
      ({ params, owner }) => params.role === 'image-draft' && !owners.has(owner),
    );
    return [...sealed, ...drafts];
  }

  private async look(record: OwnedLvol, uuid: string): Promise<Seen> {
    const { lvols } = this.parts;
    try {
      const { lvol } = await lvols.info({ ...record, uuid });
      if (lvol === undefined) return UNKNOWN;
      const clones = usersAmong(record.params.image ?? '', lvol.clones).length;
      return { presence: 'present', allocatedClusters: lvol.allocatedClusters, clones };
    } catch (reason) {
      if (!isAbsent(reason)) return UNKNOWN;
    }
    try {
      return (await lvols.isPresent(record)) ? UNKNOWN : { ...UNKNOWN, presence: 'absent' };
    } catch {
      // The disk is not loaded, or the target has gone: that says nothing of the copy (invariant 2).
      return UNKNOWN;
    }
  }
}
