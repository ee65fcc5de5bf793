import {
  type HeldSnapshot,
  MAX_DIGESTS_PER_PAGE,
  STALE_HEAD,
  decodeDigestPage,
  encodeDigestPage,
  lariatError,
  replicaNqn,
  rootDigestOf,
  scratchNqn,
} from '@lariat/contracts';
import { patchNqn, snapshotLvolName, sourceControllerName } from '../domain/names.js';
import type { OwnedLvol } from '../domain/ownership.js';
import type { JournalPort } from '../ports/journal.port.js';
import type { TargetPort } from '../ports/target.port.js';
import type { CommandHandlers, HandlersOf } from './command-handlers.js';
import type { Controllers } from './controllers.js';
import { copyClusters } from './copy-clusters.js';
import type { Exports } from './exports.js';
import { requireNoNewerRecord } from './kept-records.js';
import type { LvolReader } from './lvol-reader.js';
import { type Lvols, planLvol } from './lvols.js';
import { engineUsing } from './replica.commands.js';
import { removeScratch } from './scratch.js';
import type { SnapshotDigests } from './snapshot-digests.js';

export interface ResyncCommandParts {
  readonly journal: JournalPort;
  readonly target: TargetPort;
  readonly lvols: Lvols;
  readonly exports: Exports;
  readonly controllers: Controllers;
  readonly reader: LvolReader;
  readonly digests: SnapshotDigests;
}

export type ResyncCommandName =
  | 'rebuild.retire-head'
  | 'rebuild.discard-head'
  | 'rebuild.prune-snapshots'
  | 'rebuild.digest-snapshot'
  | 'rebuild.read-digests'
  | 'rebuild.copy-clusters';

/** The steps of a rebuild that uses what a lost replica still has (docs/adr/0012). */
export function resyncCommands(
  parts: ResyncCommandParts,
): Pick<HandlersOf<'rebuild'>, ResyncCommandName> {
  const { journal, target, lvols, exports, controllers, reader, digests } = parts;

  const retireHead: CommandHandlers['rebuild.retire-head'] = async ({ replica }, context) => {
    requireUnused(replica);
    // From here on nobody writes to it: neither an engine of the past nor a rebuild that was given up.
    for (const thing of journal.ownedBy(replica)) {
      if (thing.kind === 'subsystem') await exports.remove(thing.name);
    }
    await removeScratch(parts, replica);
    await forgetAbsent(replica);
    await freezeHead(replica, context.operation);
    for (const thing of journal.ownedBy(replica)) {
      if (thing.kind === 'controller') await controllers.remove(thing.name);
    }
    return { snapshots: await heldSnapshots(replica) };
  };

  function requireUnused(replica: string): void {
    const user = engineUsing(journal, replica);
    if (user === undefined) return;
    // May pass: an engine that no record wants any more is stopped by itself.
    throw lariatError(
      'OPERATION_IN_PROGRESS',
      `replica ${replica} is a leg of the engine of volume ${user} on this node; it is reused when that has stopped`,
    );
  }

  const lvolsOf = (replica: string): readonly OwnedLvol[] =>
    journal.ownedBy(replica).filter((thing): thing is OwnedLvol => thing.kind === 'lvol');

  /** A disk that lost its lvols (a blank one in its place) has nothing to reuse, and the records must say so. */
  async function forgetAbsent(replica: string): Promise<void> {
    for (const record of lvolsOf(replica)) {
      if (!(await lvols.isPresent(record))) await journal.dropOwned('lvol', record.name);
    }
  }

  /** The head becomes the snapshot STALE_HEAD; one that holds nothing of its own worth, or half of it, goes. */
  async function freezeHead(replica: string, operation: string): Promise<void> {
    const record = lvols.recordOf(replica, 'head');
    if (record === undefined) return;
    const { sourceController, revertTo, disk, sizeBytes } = record.params;
    const isUnfinished = record.uuid === null || sourceController !== null || revertTo !== null;
    if (isUnfinished) {
      await lvols.remove(record);
      return;
    }
    const head = await lvols.head(replica);
    const lvolName = snapshotLvolName(replica, STALE_HEAD);
    const { lvol } = await lvols.info(head);
    // What an earlier run froze: the head above it is empty. Any other head is newer than what is frozen.
    if (lvol?.baseSnapshot !== lvolName) {
      const older = lvols.recordOf(replica, 'snapshot', STALE_HEAD);
      if (older !== undefined && older.uuid !== null) await lvols.remove(older);
    }
    await lvols.make(
      planLvol(
        { replica, volume: record.volume, operation },
        { disk, lvolName, role: 'snapshot', snapshot: STALE_HEAD, sizeBytes },
      ),
      () => target.spdk().lvol.snapshot(head.uuid, lvolName),
    );
    await lvols.remove(record);
  }

  async function heldSnapshots(replica: string): Promise<readonly HeldSnapshot[]> {
    const records = lvolsOf(replica);
    const byLvolName = new Map(records.map(({ params }) => [params.lvolName, params.snapshot]));
    const held: HeldSnapshot[] = [];
    for (const { params, name } of records) {
      if (params.role !== 'snapshot' || params.snapshot === null) continue;
      const lvol = await lvols.require(name, `snapshot ${params.snapshot} of replica ${replica}`);
      const info = await lvols.info(lvol);
      const base = info.lvol?.baseSnapshot;
      const parent = base === undefined ? null : (byLvolName.get(base) ?? null);
      held.push({ snapshot: params.snapshot, parent, sizeBytes: info.sizeBytes });
    }
    return held;
  }

  const discardHead: CommandHandlers['rebuild.discard-head'] = async (input) => {
    const { replica, volume, record } = input;
    requireNoNewerRecord(journal, 'volume', volume, record);
    requireUnused(replica);
    await exports.remove(replicaNqn(replica));
    await removeScratch(parts, replica);
    const head = lvols.recordOf(replica, 'head');
    if (head !== undefined && (head.uuid === null || head.params.sourceController !== null))
      await lvols.remove(head);
    await controllers.remove(sourceControllerName(replica));
    return {};
  };

  const pruneSnapshots: CommandHandlers['rebuild.prune-snapshots'] = async ({ replica, keep }) => {
    const isKept = (snapshot: string | null): boolean =>
      snapshot !== null && keep.includes(snapshot);
    await lvols.prune(
      lvolsOf(replica).filter(
        ({ params }) => params.role === 'snapshot' && !isKept(params.snapshot),
      ),
    );
    await digests.sweep();
    return {};
  };

  const digestSnapshot: CommandHandlers['rebuild.digest-snapshot'] = async (input, context) => {
    const { operation } = context;
    const read = await digests.of({ ...input, operation });
    return { sha256: rootDigestOf(read), sizeBytes: read.sizeBytes };
  };

  const readDigests: CommandHandlers['rebuild.read-digests'] = async (input, context) => {
    const { firstCluster, clusters, ...snapshot } = input;
    const { operation } = context;
    const read = await digests.of({ ...snapshot, operation, verified: false });
    return {
      digests: encodeDigestPage(read, firstCluster, Math.min(clusters, MAX_DIGESTS_PER_PAGE)),
    };
  };

  const copy: CommandHandlers['rebuild.copy-clusters'] = async (input, context) => {
    const { replica, volume, base, source, firstCluster } = input;
    const { operation } = context;
    const lvol = await lvols.scratch(replica);
    // Through an export that only this command makes, one at a time: the host of a page that was given up must not
    // find its way back to the scratch lvol of a later rebuild.
    await exports.remove(scratchNqn(replica));
    const scratch = { lvol, owner: replica, volume, operation, nqn: patchNqn(replica) };
    const wanted = decodeDigestPage(input.digests);
    const task = { replica, volume, snapshot: base, operation, verified: true };
    const have = await digests.of(task);
    return reader.whileConnected(source, (from) =>
      reader.whileOpen(scratch, (to) =>
        copyClusters({
          ...{ from, to, have, wanted, firstCluster, mismatch: sourceChanged },
          progress: context.progress,
        }),
      ),
    );
  };

  return {
    'rebuild.retire-head': retireHead,
    'rebuild.discard-head': discardHead,
    'rebuild.prune-snapshots': pruneSnapshots,
    'rebuild.digest-snapshot': digestSnapshot,
    'rebuild.read-digests': readDigests,
    'rebuild.copy-clusters': copy,
  };
}

/** The source's snapshot does not read as when it was digested: its disk or the way has corrupted it. */
function sourceChanged(cluster: number): Error {
  return lariatError(
    'TARGET_REFUSED',
    `cluster ${cluster} of the source does not have the digest that its node gave; check that node's disk and rebuild from another replica`,
    { cluster },
  );
}
