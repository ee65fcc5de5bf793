import {
  type DryRun,
  type NodeRecord,
  type ReplicaRecord,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { chooseMove, replicaNotFound } from './choose-rebuild.js';
import { diskNotFound } from './settings.js';
import { isReadyAmong } from './returned.js';

export interface MovePlan {
  readonly record: VolumeRecord;
  readonly replica: ReplicaRecord;
  /** Ids of the disks that it may go to; placement chooses. */
  readonly toDisks: readonly string[];
}

/** What a move is asked for. Pure; throws when there is no such replica, node or disk, or nothing to copy from. */
export function planMove(
  record: VolumeRecord,
  nodes: readonly NodeRecord[],
  wanted: {
    readonly replica: string;
    readonly toNode?: string | undefined;
    readonly toDisk?: string | undefined;
  },
): MovePlan {
  const replica = record.replicas.find(({ id }) => id === wanted.replica);
  if (replica === undefined) throw replicaNotFound(record, wanted.replica);
  // A move that runs already is joined by the runner.
  if (record.operation === null) chooseMove(record, replica.id, isReadyAmong(nodes));
  const { toNode, toDisk } = wanted;
  if (toNode !== undefined && !nodes.some(({ name }) => name === toNode)) {
    throw lariatError('NODE_NOT_FOUND', `There is no node '${toNode}'. See 'lariat node list'.`, {
      node: toNode,
    });
  }
  const named = nodes
    .filter(({ name }) => toNode === undefined || name === toNode)
    .flatMap((node) => node.disks)
    .filter(({ id, name }) => toDisk === undefined || id === toDisk || name === toDisk);
  if (toDisk !== undefined && named.length === 0) throw diskNotFound(toNode ?? 'any', toDisk);
  const toDisks = named.map(({ id }) => id).filter((id) => id !== replica.disk);
  if (toDisks.length === 0) {
    throw lariatError(
      'NOT_ENOUGH_NODES',
      `Replica ${replica.id} is on disk ${replica.disk} of node '${replica.node}', and the request allows no other.`,
      { replica: replica.id, disk: replica.disk },
    );
  }
  return { record, replica, toDisks };
}

export function wouldMove({ replica, toDisks }: MovePlan): DryRun {
  return {
    dryRun: true,
    would: [
      `make a new replica on ${toDisks.length === 1 ? `disk ${toDisks[0]}` : `one of ${toDisks.length} disks`}`,
      `delete replica ${replica.id} (${replica.mode}) on node '${replica.node}' when the new one is in sync`,
    ],
  };
}
