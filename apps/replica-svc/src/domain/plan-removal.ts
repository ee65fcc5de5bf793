import {
  type DryRun,
  type ImageView,
  type NodeRecord,
  type ReplicaRecord,
  type ReplicaThere,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';

/** What depends on a node that is to be removed. */
export interface RemovalPlan {
  /** Volumes that are attached there. */
  readonly attached: readonly VolumeRecord[];
  /** Replicas there, of volumes that have a healthy one elsewhere. */
  readonly dropped: readonly (ReplicaThere & {
    readonly mode: ReplicaRecord['mode'];
    readonly healthyElsewhere: number;
  })[];
  /** Replicas there, of volumes that have no healthy one elsewhere. */
  readonly lost: readonly ReplicaThere[];
  /** Names of images whose only ready copy is there. */
  readonly lostImages: readonly string[];
}

/** What the removal of the node would take from whom. Pure. */
export function planRemoval(
  node: string,
  volumes: readonly VolumeRecord[],
  images: readonly Pick<ImageView, 'name' | 'copies'>[],
): RemovalPlan {
  const live = volumes.filter(({ state }) => state !== 'deleting');
  const there = live.flatMap((volume) => {
    const healthyElsewhere = volume.replicas.filter(
      (replica) => replica.node !== node && replica.mode === 'RW',
    ).length;
    return volume.replicas
      .filter((replica) => replica.node === node)
      .map(({ id, mode }) => ({
        ...{ volume: volume.id, name: volume.name, replica: id, mode, healthyElsewhere },
      }));
  });
  return {
    attached: live.filter(({ attachment }) => attachment?.node === node),
    dropped: there.filter(({ healthyElsewhere }) => healthyElsewhere > 0),
    lost: there
      .filter(({ healthyElsewhere }) => healthyElsewhere === 0)
      .map(({ volume, name, replica }) => ({ volume, name, replica })),
    lostImages: images.filter((image) => isLast(image, node)).map(({ name }) => name),
  };
}

function isLast({ copies }: Pick<ImageView, 'copies'>, node: string): boolean {
  const ready = copies.filter(({ state }) => state === 'ready');
  return ready.length > 0 && ready.every((copy) => copy.node === node);
}

/** A removal that was begun goes on whatever its node does; it begins with one that is down. Throws NODE_IN_USE. */
export function assertRemovable(
  { name, state }: Pick<NodeRecord, 'name' | 'state'>,
  { attached, dropped, lost }: RemovalPlan,
): void {
  if (state === 'down') return;
  const engines = attached.length === 0 ? '' : `${attached.length} volume(s) attached there`;
  const replicas = dropped.length + lost.length;
  const held = [engines, replicas === 0 ? '' : `${replicas} replica(s)`].filter(Boolean).join(', ');
  const first =
    held === ''
      ? ''
      : ` It has ${held}: detach the volumes, and move the replicas away ('lariat node drain ${name}').`;
  throw lariatError(
    'NODE_IN_USE',
    `Node '${name}' is ${state}, and a node is removed when it is down.${first} Then stop its agent, or it would register again.`,
    { node: name, state },
  );
}

/** Throws DATA_LOSS_NOT_ACCEPTED. */
export function assertLossAccepted(
  node: string,
  { lost, lostImages }: RemovalPlan,
  acceptDataLoss: boolean,
): void {
  if (acceptDataLoss || lost.length + lostImages.length === 0) return;
  const volumes = [...new Set(lost.map(({ name }) => `volume '${name}'`))];
  const names = [...volumes, ...lostImages.map((name) => `image '${name}'`)];
  throw lariatError(
    'DATA_LOSS_NOT_ACCEPTED',
    `Node '${node}' has all that is left of ${names.join(', ')}. Bring it back, or remove it with acceptDataLoss ('lariat node remove ${node} --accept-data-loss'); --dry-run says more.`,
    { node, volumes: lost.map(({ volume }) => volume), images: [...lostImages] },
  );
}

export function wouldRemove(
  { name, disks }: Pick<NodeRecord, 'name' | 'disks'>,
  { attached, dropped, lost, lostImages }: RemovalPlan,
  orphans: number,
): DryRun {
  return {
    dryRun: true,
    would: [
      ...attached.map(
        (volume) => `detach volume '${volume.name}', and cut off its engine on '${name}'`,
      ),
      ...dropped.map(
        ({ name: volume, replica, mode, healthyElsewhere }) =>
          `take replica ${replica} (${mode}) off volume '${volume}', which keeps ${healthyElsewhere} healthy one(s)`,
      ),
      ...lost.map(
        ({ name: volume, replica }) =>
          `LOSE volume '${volume}': replica ${replica} is the last that may hold all of it, and stays on record in case the node is back`,
      ),
      ...lostImages.map((image) => `LOSE image '${image}': its only copy is there`),
      ...(orphans === 0 ? [] : [`forget ${orphans} orphan(s) found there`]),
      `forget node '${name}' and its ${disks.length} disk(s)`,
      ...(lost.length + lostImages.length === 0
        ? []
        : ['be refused without acceptDataLoss (--accept-data-loss)']),
    ],
  };
}
