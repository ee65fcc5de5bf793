import {
  DEFAULT_PLACEMENT,
  type ImageCopyRecord,
  type NodeRecord,
  type ReplicaRecord,
  type VolumeRecord,
  zoneOf,
} from '@lariat/contracts';
import { toLariatError } from '@lariat/kernel';
import { chooseMove } from './choose-rebuild.js';
import type { DiskState } from './disk-state.js';
import { place, placementError } from './place.js';
import { isReadyAmong } from './returned.js';

/** What is to be emptied: a disk, or all disks of a node. */
export interface Evacuated {
  readonly node: string;
  readonly disk: string | null;
}

/** A replica that is to leave. */
export interface Leaving {
  readonly volume: VolumeRecord;
  readonly replica: ReplicaRecord;
}

export interface PlannedMove extends Leaving {
  /** Where it would go; null: nowhere, and `reason` says why. */
  readonly to: { readonly node: string; readonly disk: string } | null;
  readonly reason: string | null;
}

export const isOn = (
  { node, disk }: Evacuated,
  site: Pick<ReplicaRecord, 'node' | 'disk'>,
): boolean => site.node === node && (disk === null || site.disk === disk);

/** The replicas that are there, by volume. Pure. */
export function replicasLeaving(
  volumes: readonly VolumeRecord[],
  from: Evacuated,
): readonly Leaving[] {
  return volumes
    .toSorted((a, b) => a.id.localeCompare(b.id))
    .flatMap((volume) =>
      volume.replicas
        .filter((replica) => isOn(from, replica))
        .map((replica) => ({ volume, replica })),
    );
}

/** Volumes whose engine runs on the node: a drain moves none. Pure. */
export const enginesOn = (
  volumes: readonly VolumeRecord[],
  { node, disk }: Evacuated,
): readonly VolumeRecord[] =>
  disk === null ? volumes.filter(({ attachment }) => attachment?.node === node) : [];

/** Copies of images that are there. Pure. */
export function copiesLeaving<Image extends { readonly copies: readonly ImageCopyRecord[] }>(
  images: readonly Image[],
  from: Evacuated,
): readonly { readonly image: Image; readonly copy: ImageCopyRecord }[] {
  return images.flatMap((image) =>
    image.copies.filter((copy) => isOn(from, copy)).map((copy) => ({ image, copy })),
  );
}

/** Where each replica would go, each seeing what those before it would take. Pure. */
export function planMoves(
  volumes: readonly VolumeRecord[],
  nodes: readonly NodeRecord[],
  given: readonly DiskState[],
  from: Evacuated,
): readonly PlannedMove[] {
  const zones = new Map(nodes.map((node) => [node.name, zoneOf(node)]));
  let disks = given.map((disk) =>
    isOn(from, disk) ? { ...disk, nodeSchedulable: false, diskSchedulable: false } : disk,
  );
  return replicasLeaving(volumes, from).map(({ volume, replica }): PlannedMove => {
    const stays = (reason: unknown): PlannedMove => ({
      ...{ volume, replica, to: null },
      reason: `${lastOf(volume, replica)}${toLariatError(reason).message}`,
    });
    try {
      const { others } = chooseMove(volume, replica.id, isReadyAmong(nodes));
      const outcome = place(
        {
          ...{ volume: volume.id, replicas: [`of-${replica.id}`], sizeBytes: volume.sizeBytes },
          ...{ excludeNodes: [], placement: volume.placement ?? DEFAULT_PLACEMENT },
          ...{ avoidNodes: [replica.node], suspects: 'never' },
          others: others.map(({ node, disk }) => ({ node, disk, zone: zones.get(node) ?? null })),
          onlyDisks: disks.map(({ disk }) => disk).filter((disk) => disk !== replica.disk),
        },
        disks,
      );
      if (!outcome.placed) return stays(placementError(outcome));
      const [to] = outcome.placements;
      if (to === undefined) return stays(new Error('placement gave no place'));
      disks = disks.map((disk) =>
        disk.disk === to.disk
          ? { ...disk, scheduledBytes: disk.scheduledBytes + volume.sizeBytes }
          : disk,
      );
      return { volume, replica, to: { node: to.node, disk: to.disk }, reason: null };
    } catch (reason) {
      return stays(reason);
    }
  });
}

/** Said first: it is what a person must know before he takes the node away. Pure. */
export function lastOf({ replicas }: VolumeRecord, { id }: Pick<ReplicaRecord, 'id'>): string {
  const [only, ...more] = replicas.filter(({ mode }) => mode === 'RW');
  return only?.id === id && more.length === 0 ? 'it is the last healthy one: ' : '';
}
