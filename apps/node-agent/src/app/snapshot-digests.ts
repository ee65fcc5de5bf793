import { type ClusterDigests, snapshotNqn } from '@lariat/contracts';
import { checksumNqn } from '../domain/names.js';
import type { ConnectedDevice } from '../ports/block-connector.port.js';
import type { DigestStorePort } from '../ports/digest-store.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandContext } from './command-handlers.js';
import type { LvolReader } from './lvol-reader.js';
import type { Lvols, MadeLvol } from './lvols.js';
import { digestsByTarget, readDigests } from './read-digests.js';

export interface DigestTask {
  readonly replica: string;
  readonly volume: string;
  readonly snapshot: string;
  readonly operation: string;
  /** True: only a reading in this life of the target counts. */
  readonly verified: boolean;
}

/** Which reading counts: any there ever was, one in this life of the target, or none but a new one. */
export type Reading = 'any' | 'this-life' | 'new';

type ReadableDevice = Pick<ConnectedDevice, 'sizeBytes' | 'read'>;

export interface ReadTask {
  /** One whose content never changes. */
  readonly lvol: MadeLvol;
  readonly reading: Reading;
  readonly whileOpen: <T>(use: (device: ReadableDevice) => Promise<T>) => Promise<T>;
  readonly progress?: CommandContext['progress'];
  /** Missing: as fast as it goes. */
  readonly mibPerSecond?: number;
}

export interface SnapshotDigestsParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly reader: LvolReader;
  readonly store: DigestStorePort;
}

/** Per-cluster digests of this node's snapshots: read once, and kept with the uuid of the snapshot's lvol. */
export class SnapshotDigests {
  constructor(private readonly parts: SnapshotDigestsParts) {}

  async of(task: DigestTask): Promise<ClusterDigests> {
    const { lvols, reader } = this.parts;
    const { replica, snapshot, verified } = task;
    const lvol = await lvols.snapshot(replica, snapshot);
    const nqn = checksumNqn(replica, snapshot);
    const shared = snapshotNqn(replica, snapshot);
    return this.ofLvol({
      lvol,
      reading: verified ? 'this-life' : 'any',
      whileOpen: (use) => reader.whileOpen({ ...task, owner: replica, lvol, nqn, shared }, use),
    });
  }

  async ofLvol(task: ReadTask): Promise<ClusterDigests> {
    const { target, lvols, store } = this.parts;
    const { lvol, reading, whileOpen, progress, mibPerSecond } = task;
    const known = reading === 'new' ? undefined : store.get(lvol.uuid);
    const targetInstance = target.instance;
    if (known !== undefined && (reading === 'any' || known.targetInstance === targetInstance))
      return known;
    const { sizeBytes } = await lvols.info(lvol);
    const pace = { progress, mibPerSecond };
    const digests =
      (await digestsByTarget(target, { uuid: lvol.uuid, sizeBytes }, pace)) ??
      (await whileOpen((device) => readDigests(device, pace)));
    const read = { sizeBytes, digests };
    await store.put(lvol.uuid, { ...read, targetInstance });
    return read;
  }

  /** Forgets the lvols that this node does not have any more. */
  async sweep(): Promise<void> {
    const { journal, store } = this.parts;
    const uuids = journal.ownedOfKind('lvol').flatMap(({ uuid }) => (uuid === null ? [] : [uuid]));
    await store.retain(new Set(uuids));
  }
}
