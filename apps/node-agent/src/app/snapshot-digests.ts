import { snapshotNqn } from '@lariat/contracts';
import { CLUSTER_SIZE_BYTES } from '@lariat/kernel';
import { type ClusterDigests, DIGEST_BYTES, digestOf } from '../domain/cluster-digests.js';
import { checksumNqn } from '../domain/names.js';
import type { DigestStorePort } from '../ports/digest-store.port.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import { type LvolReader, readInOrder } from './lvol-reader.js';
import type { Lvols } from './lvols.js';

export interface DigestTask {
  readonly replica: string;
  readonly volume: string;
  readonly snapshot: string;
  readonly operation: string;
  /** True: only a reading in this life of the target counts. */
  readonly verified: boolean;
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
    const { target, lvols, reader, store } = this.parts;
    const { replica, snapshot } = task;
    const lvol = await lvols.snapshot(replica, snapshot);
    const known = store.get(lvol.uuid);
    const targetInstance = target.instance;
    if (known !== undefined && (!task.verified || known.targetInstance === targetInstance))
      return known;
    const nqn = checksumNqn(replica, snapshot);
    const shared = snapshotNqn(replica, snapshot);
    const read = await reader.whileOpen({ ...task, lvol, nqn, shared }, async (device) => {
      const clusters = Math.ceil(device.sizeBytes / CLUSTER_SIZE_BYTES);
      const digests = Buffer.alloc(clusters * DIGEST_BYTES);
      let cluster = 0;
      await readInOrder(device, (chunk) => {
        digestOf(chunk).copy(digests, cluster * DIGEST_BYTES);
        cluster += 1;
      });
      return { sizeBytes: device.sizeBytes, digests };
    });
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
