import { type NodeRecord, type StoreRecord, lariatError } from '@lariat/contracts';

interface Claim {
  readonly node: string;
  readonly disk: string;
  readonly lvsUuid: string;
}

/**
 * Whether a node may take up a store that it has found. It may when the store is of this cluster and no other node on record
 * has its disk; a node that is down has it still. Throws DISK_TAKEN. Pure.
 */
export function assertMayClaim(
  { node, disk, lvsUuid }: Claim,
  known: StoreRecord | undefined,
  nodes: readonly Pick<NodeRecord, 'name' | 'state' | 'disks'>[],
): void {
  if (known === undefined || known.lvsUuid !== lvsUuid) {
    throw lariatError(
      'DISK_TAKEN',
      `Store ${lvsUuid} (${disk}) is of no disk that this cluster knows: it is another cluster's, or the records of this one are lost ('lariat recover'). To lose what it holds, clear the disk and add it again.`,
      { node, disk },
    );
  }
  const holder = nodes.find(
    ({ name, disks }) =>
      name !== node && (name === known.node || disks.some(({ id }) => id === disk)),
  );
  if (holder === undefined) return;
  throw lariatError(
    'DISK_TAKEN',
    `Store ${lvsUuid} is disk ${disk} of node '${holder.name}', which is ${holder.state}. Take the disk from it there, or remove the node ('lariat node remove ${holder.name} --dry-run').`,
    { node, disk, holder: holder.name },
  );
}
