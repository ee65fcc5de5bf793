import {
  type ImageRecord,
  type Inventory,
  type OrphanKind,
  type OrphanRecord,
  type OrphanView,
  type VolumeRecord,
  lariatError,
} from '@lariat/contracts';
import { deriveOrphanId } from '@lariat/kernel';

/** How long a thing may be without an owner before it is deleted; null: for ever. */
export interface OrphanPolicy {
  readonly graceMs: number | null;
}

const DEFAULT_GRACE_SECONDS = 86_400;

export function orphanPolicyFrom(env: NodeJS.ProcessEnv): OrphanPolicy {
  const text = env.LARIAT_ORPHAN_GRACE_SECONDS ?? String(DEFAULT_GRACE_SECONDS);
  if (text === 'off') return { graceMs: null };
  const seconds = Number(text);
  if (text !== '' && Number.isInteger(seconds) && seconds >= 0) return { graceMs: seconds * 1_000 };
  throw lariatError(
    'REQUEST_INVALID',
    `LARIAT_ORPHAN_GRACE_SECONDS must be a whole number of seconds, or off to delete none, not '${text}'.`,
  );
}

/** As it was found, before it is on record. */
export type FoundOrphan = Omit<OrphanRecord, 'id' | 'foundAt'>;

/** The same thing, whenever it is found, until it is gone. */
export const sameThing = (a: FoundOrphan, b: FoundOrphan): boolean =>
  a.node === b.node && a.kind === b.kind && a.name === b.name && a.uuid === b.uuid;

/** By `since`: one that is found anew, after it had an owner, is another orphan. */
export const orphanIdOf = ({ node, kind, name, uuid, since }: FoundOrphan): string =>
  deriveOrphanId(node, kind, name, uuid ?? '', since);

const ID = /(?:vol|rep|img)-[0-9a-hjkmnp-tv-z]{12}/g;

/** The ids that a thing's name has: what it was made for. */
export function namedBy(name: string): readonly string[] {
  return name.match(ID) ?? [];
}

/** Whether a node has a replica's head on record. One of which it has other parts alone is taken up as a whole. */
export function holds(replicas: Inventory['replicas']): (replica: string) => boolean {
  const heads = new Set(
    replicas.flatMap(({ replica, head }) => (head === undefined ? [] : [replica])),
  );
  return (replica) => heads.has(replica);
}

/**
 * The volume whose record wants the thing: it was made for a replica that is on record there and that the node does not
 * know of, or for an engine that is. What goes by the name of a replica that its node knows is not that replica's. Pure.
 */
export function wantedBy(
  { kind, name }: Pick<FoundOrphan, 'kind' | 'name'>,
  node: string,
  volumes: readonly VolumeRecord[],
  isHeld: (replica: string) => boolean,
): VolumeRecord | undefined {
  if (kind === 'replica') return undefined;
  const ids = new Set(namedBy(kind === 'lvol' ? lvolNameOf(name) : name));
  return volumes.find((volume) => {
    if (kind !== 'lvol' && volume.attachment?.node === node) {
      return ids.has(volume.id) || volume.replicas.some(({ id }) => ids.has(id));
    }
    return volume.replicas.some((one) => one.node === node && ids.has(one.id) && !isHeld(one.id));
  });
}

/** The image whose record has the lvol as its ready copy on that disk, by its uuid. Pure. */
export function imageWith(
  { kind, name, uuid, disk }: Pick<FoundOrphan, 'kind' | 'name' | 'uuid' | 'disk'>,
  node: string,
  images: readonly ImageRecord[],
): ImageRecord | undefined {
  if (kind !== 'lvol' || uuid === null || disk === null) return undefined;
  return images.find(
    ({ id, copies }) =>
      name === `${disk}/${id}` &&
      copies.some(
        (copy) =>
          copy.node === node &&
          copy.disk === disk &&
          copy.state === 'ready' &&
          copy.lvolUuid === uuid,
      ),
  );
}

/** Of `<disk>/<name>`. */
const lvolNameOf = (alias: string): string => alias.slice(alias.indexOf('/') + 1);

/**
 * What a node's inventory has without an owner. `isUnknown`: the volume is neither on record nor known as deleted; what is known
 * as deleted, or on record and does not want the replica, is the sweep's. Pure.
 */
export function findOrphans(
  { node, agentInstance, unowned, replicas }: Inventory,
  isWanted: (thing: FoundOrphan) => boolean,
  isUnknown: (volume: string) => boolean,
): readonly FoundOrphan[] {
  const things = (unowned?.things ?? []).map((thing) => ({ ...thing, node, volume: null }));
  const strangers = replicas.filter(({ volume }) => isUnknown(volume));
  return [
    ...things.filter((thing) => !isWanted(thing)),
    ...strangers.map(({ replica, volume, head }) => ({
      ...{ node, kind: 'replica' as const, name: replica, volume, since: agentInstance },
      ...{ uuid: head?.uuid ?? null, disk: head?.disk ?? null },
      ...{ sizeBytes: head?.sizeBytes ?? 0, allocatedBytes: 0, beneath: [] },
    })),
  ];
}

/**
 * Whether an orphan on record is positively not there any more: its node has been looked at and has it not. Of an lvol
 * whose disk is not loaded nothing is known. Pure.
 */
export function hasEnded(
  orphan: OrphanRecord,
  found: readonly FoundOrphan[],
  { unowned, replicas }: Inventory,
): boolean {
  if (found.some((thing) => sameThing(thing, orphan))) return false;
  if (orphan.kind === 'replica') return true;
  if (unowned === undefined || unowned.omitted > 0) return false;
  if (orphan.kind !== 'lvol') return true;
  return (
    unowned.disks.includes(orphan.disk ?? '') ||
    replicas.some(({ replica }) => namedBy(lvolNameOf(orphan.name)).includes(replica))
  );
}

const KEPT: Readonly<Partial<Record<OrphanKind, (orphan: OrphanRecord) => string>>> = {
  store: ({ name }) =>
    `it may hold volumes: add its disk to the node under the path that it has, which takes ${name} up`,
  replica: ({ volume }) =>
    `volume ${volume ?? '?'} is not on record, and 'lariat recover' may put it back`,
};

/** Why it is not deleted by itself, whatever the grace; undefined: it is. Pure. */
export function whyKept(orphan: OrphanRecord): string | undefined {
  const why = KEPT[orphan.kind]?.(orphan);
  if (why !== undefined) return why;
  // Somebody has made it by hand, in a place of ours.
  return orphan.kind === 'lvol' && namedBy(lvolNameOf(orphan.name)).length === 0
    ? 'it has a name that Lariat never gives'
    : undefined;
}

/** When it is deleted by itself, in milliseconds since 1970; undefined: on request alone. Pure. */
export function deletesAtMs(orphan: OrphanRecord, { graceMs }: OrphanPolicy): number | undefined {
  if (graceMs === null || whyKept(orphan) !== undefined) return undefined;
  // Those that stand on it go first, if they go.
  if (orphan.beneath.length > 0) return undefined;
  return Date.parse(orphan.foundAt) + graceMs;
}

export function toOrphanView(orphan: OrphanRecord, policy: OrphanPolicy): OrphanView {
  const atMs = deletesAtMs(orphan, policy);
  const kept =
    whyKept(orphan) ??
    (orphan.beneath.length > 0 ? `${orphan.beneath.join(', ')} stand on it, and go first` : null) ??
    (policy.graceMs === null ? 'no orphan is deleted by itself here' : null);
  return {
    ...orphan,
    deletesAt: atMs === undefined ? null : new Date(atMs).toISOString(),
    kept,
    deletable: orphan.kind !== 'store',
  };
}

export function assertDeletable(orphan: OrphanRecord): void {
  if (orphan.kind !== 'store') return;
  throw lariatError(
    'ORPHAN_NOT_DELETABLE',
    `Store ${orphan.name} on node '${orphan.node}' is not deleted as an orphan: ${whyKept(orphan) ?? ''}. To lose what it holds, add the disk with 'erase'.`,
    { orphan: orphan.id },
  );
}
